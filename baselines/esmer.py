"""ESMER: rehearsal that trusts clips less whose loss is far above the usual, and does not store them.

Source: Sarfraz, Arani and Zonooz, ICLR 2023, arXiv 2302.11344, equations 1 to 6; authors' NeurAI-Lab/ESMER,
models/esmer.py; published comparison G-JWLee/STELLA_code, models/cl_methods/esmer.py. A slow copy of the
model gives each incoming clip a loss. Over `margin` times the running mean of such losses a clip weighs
mean / loss in training and is refused by the memory. The running mean leaves out losses over one batch's mean
plus `deviation_margin` standard deviations. Features of rehearsed clips are pulled to the slow copy's.

As in the published comparison the loss is the whole training loss, weights apply to the incoming clips of a
joined batch, the copy masks clips anew, and there is no warm-up after a task begins (the authors' code has
one, which needs task boundaries). The copy moves after the optimiser's step, as in the authors' code. The
published comparison evaluates the working model; the paper evaluates the slow copy, and so do we by default.
The running mean moves once a step, by the losses of all its clips: of all micro-batches and processes. Of
several processes each has the copy's contrast among its own clips.
"""

from typing import Any, Literal

import torch
from torch import Tensor

from avbench import processes
from avbench.backbone import CAVMAE, Tokens
from avbench.capacity import Capacity
from avbench.errors import InputError
from avbench.method import Method, Strategy
from avbench.model_copies import frozen_copy, move_towards, warmed_decay
from avbench.objectives import clip_losses
from avbench.passes import masked_losses
from avbench.rehearsal import RehearsalMemory
from avbench.stored_features import pooled_features, squared_distance


class ESMER(Method):
    """Rehearse as ER does; clips that surprise a slow copy weigh less and are not stored.

    Args:
        capacity: size of the rehearsal memory, in clips or in bytes.
        penalty: weight of the squared distance to the slow copy's features, in each modality.
        margin: a clip surprises if its loss is more than this times the running mean.
        loss_decay: share of itself that the running mean keeps in a step; less at first.
        deviation_margin: losses so many standard deviations above their batch's mean stay out of the mean.
        copy_rate: probability that the copy moves in a step, 0 to 1.
        copy_decay: share of itself that the copy keeps when it moves; less at first.
        evaluated: what retrieval is measured with: the slow copy, as in the paper, or the working model.
    """

    paper = "Error Sensitivity Modulation based Experience Replay, ICLR 2023, arXiv 2302.11344"
    over_processes = True
    model_copies = 1
    slow: CAVMAE

    def __init__(
        self,
        *,
        capacity: Capacity = 2000,
        penalty: float = 0.15,
        margin: float = 2.5,
        loss_decay: float = 0.99,
        deviation_margin: float = 1.0,
        copy_rate: float = 0.2,
        copy_decay: float = 0.999,
        evaluated: Literal["slow", "working"] = "slow",
    ) -> None:
        super().__init__()
        for name, value in (("penalty", penalty), ("margin", margin), ("deviation_margin", deviation_margin)):
            if not 0 <= value < float("inf"):
                raise InputError(f"{name}={value} is negative or no number: give 0 or more")
        for name, value in (("loss_decay", loss_decay), ("copy_rate", copy_rate), ("copy_decay", copy_decay)):
            if not 0 <= value <= 1:
                raise InputError(f"{name}={value} is not in 0..1")
        self.penalty, self.margin, self.evaluated = penalty, margin, evaluated
        self.loss_decay, self.deviation_margin = loss_decay, deviation_margin
        self.copy_rate, self.copy_decay = copy_rate, copy_decay
        self.memory = RehearsalMemory(capacity)
        self.steps = 0
        # The running mean of losses, a scalar; 0 before the first batch.
        self.usual_loss = torch.zeros(())
        # The copy's losses of the clips that came in: of this micro-batch, and of the micro-batches of this
        # step; none between steps.
        self.losses: Tensor | None = None
        self.losses_of_step: list[Tensor] = []
        # Of the clips rehearsed in this micro-batch; None between steps.
        self.wanted: Tokens | None = None

    def attach(self, strategy: Strategy) -> None:
        """Copy the model as it is before the first step."""
        super().attach(strategy)
        self.slow = frozen_copy(strategy.model)
        self.usual_loss = self.usual_loss.to(strategy.device)

    def before_forward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Join rehearsed clips to the incoming ones, and offer the memory those that do not surprise."""
        incoming = strategy.mbatch
        noise = strategy.model.draw_noise(incoming, self.generator("losses"))
        with torch.no_grad():
            self.losses = masked_losses(strategy, incoming, noise, model=self.slow)
        if self.memory:
            rehearsed = self.memory.sample(len(incoming))
            noise = strategy.model.draw_noise(rehearsed, self.generator("features"))
            with torch.no_grad(), strategy.autocast():
                self.wanted = self.slow.pooled(rehearsed, noise)
            strategy.mbatch = incoming + rehearsed
        self.memory.add(incoming, only=~surprising(self.losses, self.usual_loss, self.margin))

    def before_backward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Weigh the incoming clips, and add the penalty of the rehearsed ones."""
        assert self.losses is not None
        output, incoming = strategy.mb_output, strategy.incoming
        training = clip_losses(output, strategy.settings.contrastive_weight)
        weights = clip_weights(self.losses, self.usual_loss, self.margin)
        # The loss holds the mean of all clips with a weight of 1 each: of the clips of all processes, whose
        # losses are weighed by the clips that came in.
        clips = incoming * processes.total(len(training)) / processes.total(incoming)
        strategy.loss = strategy.loss + ((weights - 1) * training[:incoming]).sum() / clips
        if self.wanted is not None:
            features = pooled_features(output, slice(incoming, None))
            strategy.loss = strategy.loss + self.penalty * squared_distance(features, self.wanted)
        self.losses_of_step.append(self.losses)
        self.losses = self.wanted = None

    def stand_by_backward(self, strategy: Strategy) -> None:
        """Count no clips, while other processes count theirs."""
        for _ in ("incoming", "all"):
            processes.total(0)

    def before_update(self, strategy: Strategy, **kwargs: Any) -> None:
        """Move the running mean of the losses."""
        own = torch.cat([torch.zeros(0, device=strategy.device), *self.losses_of_step])
        losses, _ = processes.gather_rows(own)
        decay = warmed_decay(self.loss_decay, self.steps + 1)
        usual = mean_without_outliers(losses, self.deviation_margin)
        self.usual_loss = decay * self.usual_loss + (1 - decay) * usual
        self.losses_of_step = []

    def after_update(self, strategy: Strategy, **kwargs: Any) -> None:
        """Move the copy towards the model with its probability."""
        self.steps += 1
        if self.common_numpy_generator("moves").random() < self.copy_rate:
            move_towards(self.slow, strategy.model, warmed_decay(self.copy_decay, self.steps))

    def evaluated_model(self, model: CAVMAE) -> CAVMAE:
        """Return the slow copy, or the model if so configured."""
        return self.slow if self.evaluated == "slow" else model


def surprising(losses: Tensor, usual_loss: Tensor, margin: float) -> Tensor:
    """Return which clips (B,) have a loss of more than `margin` times the usual; none before there is one."""
    return (usual_loss > 0) & (losses > margin * usual_loss)


def clip_weights(losses: Tensor, usual_loss: Tensor, margin: float) -> Tensor:
    """Return the weights (B,) in training: usual / loss of clips that surprise, 1 of all others."""
    return torch.where(surprising(losses, usual_loss, margin), usual_loss / losses, 1.0)


def mean_without_outliers(losses: Tensor, deviation_margin: float) -> Tensor:
    """Return the mean (scalar) of the losses up to their mean plus `deviation_margin` standard deviations."""
    if len(losses) == 1:
        return losses.mean()
    kept = (losses <= losses.mean() + deviation_margin * losses.std()).float()
    return (losses * kept).sum() / kept.sum()
