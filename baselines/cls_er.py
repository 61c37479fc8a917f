"""CLS-ER: rehearsal with a fast and a slow average of the model, after complementary learning systems.

Source: Arani, Sarfraz and Zonooz, ICLR 2022, arXiv 2201.12604, algorithm 1; authors' NeurAI-Lab/CLS-ER,
models/clser.py; published comparison G-JWLee/STELLA_code, models/cl_methods/clser.py. Two copies follow the
model as moving averages, the plastic one more often than the stable one. Features of rehearsed clips are
pulled to those of the copy that tells the true pair better: without labels, the one that gives the clip's
own other half a higher probability among the rehearsed. As in the published comparison video features are
chosen by what sounds find, audio features by what videos find, and the copies mask the clips anew; here
both under one mask, so that it is the copies that are compared.

The copies move after the optimiser's step, as in the authors' code; the published comparison moves them
before. It also evaluates the working model; the paper evaluates the stable copy, and so do we by default.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from avbench import processes
from avbench.backbone import CAVMAE, Tokens
from avbench.capacity import Capacity
from avbench.errors import InputError
from avbench.method import Method, Strategy
from avbench.model_copies import frozen_copy, move_towards, warmed_decay
from avbench.objectives import CONTRASTIVE_TEMPERATURE
from avbench.rehearsal import RehearsalMemory
from avbench.stored_features import pooled_features, squared_distance


class CLSER(Method):
    """Rehearse as ER does, and pull rehearsed features to the better of two slow copies of the model.

    Args:
        capacity: size of the rehearsal memory, in clips or in bytes.
        penalty: weight of the squared distance to the chosen copy's features, in each modality.
        plastic_rate, stable_rate: probability that the copy moves in a step, 0 to 1.
        copy_decay: share of itself that a copy keeps when it moves; less at first.
        evaluated: what retrieval is measured with: the stable copy, as in the paper, or the working model.
    """

    paper = "Learning Fast, Learning Slow (CLS-ER), ICLR 2022, arXiv 2201.12604"
    over_processes = True
    model_copies = 2
    plastic: CAVMAE
    stable: CAVMAE

    def __init__(
        self,
        *,
        capacity: Capacity = 2000,
        penalty: float = 0.1,
        plastic_rate: float = 0.8,
        stable_rate: float = 0.6,
        copy_decay: float = 0.999,
        evaluated: Literal["stable", "working"] = "stable",
    ) -> None:
        super().__init__()
        if not 0 <= penalty < float("inf"):
            raise InputError(f"penalty={penalty} is not a weight: give 0 or more")
        for name, value in (
            ("plastic_rate", plastic_rate),
            ("stable_rate", stable_rate),
            ("copy_decay", copy_decay),
        ):
            if not 0 <= value <= 1:
                raise InputError(f"{name}={value} is not in 0..1")
        self.penalty, self.evaluated = penalty, evaluated
        self.plastic_rate, self.stable_rate, self.copy_decay = plastic_rate, stable_rate, copy_decay
        self.memory = RehearsalMemory(capacity)
        self.steps = 0
        # Of the clips rehearsed in this step; None between steps.
        self.wanted: Tokens | None = None

    def attach(self, strategy: Strategy) -> None:
        """Copy the model twice, as it is before the first step."""
        super().attach(strategy)
        self.plastic, self.stable = frozen_copy(strategy.model), frozen_copy(strategy.model)

    def before_forward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Join rehearsed clips to the incoming ones, and ask both copies about them."""
        incoming = strategy.mbatch
        if self.memory:
            rehearsed = self.memory.sample(len(incoming))
            noise = strategy.model.draw_noise(rehearsed, self.generator("copies"))
            with torch.no_grad(), strategy.autocast():
                plastic, stable = self.plastic.pooled(rehearsed, noise), self.stable.pooled(rehearsed, noise)
            self.wanted = better_features(stable, plastic)
            strategy.mbatch = incoming + rehearsed
        else:
            self.stand_by_forward(strategy)
        self.memory.add(incoming)

    def stand_by_forward(self, strategy: Strategy) -> None:
        """Rehearse nothing, while other processes compare what they rehearse."""
        none = torch.zeros(0, strategy.model.size.width, device=strategy.device)
        better_features(Tokens(none, none), Tokens(none, none))

    def before_backward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Add the penalty of the rehearsed clips."""
        if self.wanted is not None:
            features = pooled_features(strategy.mb_output, slice(strategy.incoming, None))
            strategy.loss = strategy.loss + self.penalty * squared_distance(features, self.wanted)
            self.wanted = None

    def after_update(self, strategy: Strategy, **kwargs: Any) -> None:
        """Move each copy towards the model with its probability."""
        self.steps += 1
        decay = warmed_decay(self.copy_decay, self.steps)
        for copy, rate in ((self.plastic, self.plastic_rate), (self.stable, self.stable_rate)):
            if self.common_numpy_generator("moves").random() < rate:
                move_towards(copy, strategy.model, decay)

    def evaluated_model(self, model: CAVMAE) -> CAVMAE:
        """Return the stable copy, or the model if so configured."""
        return self.stable if self.evaluated == "stable" else model


def better_features(stable: Tokens, plastic: Tokens) -> Tokens:
    """Return for each clip the features (B, D) of the copy that gives its true pair the higher probability.

    Video features are chosen by the probability that the clip's sound finds its video, audio features by
    that of its video finding its sound.
    """
    stable_video, stable_audio = pair_probabilities(stable)
    plastic_video, plastic_audio = pair_probabilities(plastic)
    return Tokens(
        audio=torch.where((stable_audio > plastic_audio)[:, None], stable.audio, plastic.audio),
        video=torch.where((stable_video > plastic_video)[:, None], stable.video, plastic.video),
    )


def pair_probabilities(features: Tokens) -> tuple[Tensor, Tensor]:
    """Return the probabilities (B,) that a sound finds its own video in the batch, and a video its sound.

    They are found among the features of all processes.
    """
    audio, video = F.normalize(features.audio.float(), dim=1), F.normalize(features.video.float(), dim=1)
    all_audio, first = processes.gather_rows(audio)
    all_video, _ = processes.gather_rows(video)
    to_video = (audio @ all_video.T / CONTRASTIVE_TEMPERATURE).softmax(dim=1)
    to_audio = (all_audio @ video.T / CONTRASTIVE_TEMPERATURE).softmax(dim=0)
    return to_video.diagonal(offset=first), to_audio.diagonal(offset=-first)
