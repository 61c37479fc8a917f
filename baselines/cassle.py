"""CaSSLe: a predictor must find, in the features that are learnt now, those of the model of before.

Source: Fini et al., CVPR 2022, arXiv 2112.04215, equations 5 and 6; DonkeyShot21/cassle,
cassle/distillers/contrastive.py and cassle/losses/simclr.py. At each task's end the model is frozen. From
then on a predictor maps the current features of the incoming clips, and its outputs are contrasted with the
frozen model's features of the same clips under the same mask: both directions averaged, temperature 0.2,
weight 1.

- The published code predicts projections of two augmented views of an image, each view against all of both
  views. Here a clip's two modalities are what pre-training contrasts: each has a predictor of its own and
  is contrasted with its own frozen features, and the two losses are added. There is no projector: features
  are the pooled ones.
- The predictor is linear, normalisation, ReLU, linear, as in the code. It normalises over the batch, which
  cannot be where a batch is one clip; here over the features of each clip (LayerNorm).
- In the code every task is a run of its own, with a new optimiser. Here optimiser and predictors go on
  through the stream, as everything that is trained does.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avbench import processes
from avbench.backbone import CAVMAE
from avbench.errors import InputError
from avbench.method import Method, Strategy
from avbench.model_copies import frozen_copy


class CaSSLe(Method):
    """Predict the features of the model of the last task's end from those that are learnt now.

    Args:
        weight: of the distillation loss of each modality.
        temperature: of the contrast between predicted and frozen features.
        hidden: width of the predictors' hidden layer.
    """

    paper = "Self-Supervised Models are Continual Learners, CVPR 2022, arXiv 2112.04215"
    needs_boundaries = True
    over_processes = True
    # The predictors come on top: at the paper's backbone a few hundredths of its size, with their gradients.
    model_copies = 1

    def __init__(self, *, weight: float = 1.0, temperature: float = 0.2, hidden: int = 2048) -> None:
        super().__init__()
        if not 0 <= weight < math.inf:
            raise InputError(f"weight={weight} is no weight: give 0 or more")
        if not 0 < temperature < math.inf:
            raise InputError(f"temperature={temperature} is not positive: give more than 0")
        if hidden < 1:
            raise InputError(f"hidden={hidden} is no width: give 1 or more")
        self.weight = weight
        self.temperature = temperature
        self.hidden = hidden
        # The model at the end of the last task; None in the first.
        self.teacher: CAVMAE | None = None
        # Of audio and of video, from `attach` on.
        self.predictors: list[nn.Sequential] = []

    def attach(self, strategy: Strategy) -> None:
        """Get ready to train: make the predictors, to be trained by the run's optimiser."""
        super().attach(strategy)
        width, generator = strategy.model.size.width, self.common_generator("predictor")
        self.predictors = [predictor(width, self.hidden, generator).to(strategy.device) for _ in range(2)]
        # Until there is a frozen model they get no gradient, and the optimiser leaves them alone.
        strategy.optimizer.add_param_group(
            {"params": [value for each in self.predictors for value in each.parameters()]}
        )

    def before_backward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Add the distillation loss, from the second task on."""
        if self.teacher is None:
            return
        with torch.no_grad(), strategy.autocast():
            frozen = self.teacher.pooled(strategy.mbatch, strategy.mb_noise)
        predict_audio, predict_video = self.predictors
        with strategy.autocast():
            audio = predict_audio(strategy.mb_output.audio_pooled)
            video = predict_video(strategy.mb_output.video_pooled)
        distance = contrastive_distillation(audio, frozen.audio, self.temperature)
        distance = distance + contrastive_distillation(video, frozen.video, self.temperature)
        strategy.loss = strategy.loss + self.weight * distance

    def stand_by_backward(self, strategy: Strategy) -> None:
        """Predict nothing, while other processes contrast what they predict."""
        if self.teacher is not None:
            for _ in self.predictors:
                none = torch.zeros(0, strategy.model.size.width, device=strategy.device, requires_grad=True)
                strategy.loss = strategy.loss + contrastive_distillation(
                    none, none.detach(), self.temperature
                )

    def after_training_exp(self, strategy: Strategy, **kwargs: Any) -> None:
        """Freeze the model as it is now."""
        self.teacher = frozen_copy(strategy.model)


def predictor(width: int, hidden: int, generator: torch.Generator) -> nn.Sequential:
    """Return a predictor of features (B, width), its weights drawn from `generator` as torch draws them."""
    made = nn.Sequential(nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, width))
    with torch.no_grad():
        for layer in made:
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)
    return made


def contrastive_distillation(predicted: Tensor, frozen: Tensor, temperature: float) -> Tensor:
    """Return the mean cross entropy (scalar) of finding each clip's frozen features from the predicted ones.

    Cosine similarity over `temperature`; predicted to frozen and frozen to predicted averaged. Of several
    processes each has the mean over its own clips, which are found among those of all.

    Args:
        predicted, frozen: (B, D) features of the same clips, of any length; 0 of none.
    """
    predicted, frozen = F.normalize(predicted.float(), dim=1), F.normalize(frozen.float(), dim=1)
    all_predicted, first = processes.gather_rows(predicted)
    all_frozen, _ = processes.gather_rows(frozen)
    own = torch.arange(first, first + len(predicted), device=predicted.device)
    to_frozen = F.cross_entropy(predicted @ all_frozen.T / temperature, own, reduction="none")
    to_predicted = F.cross_entropy(frozen @ all_predicted.T / temperature, own, reduction="none")
    return (to_frozen + to_predicted).sum() / (2 * max(len(predicted), 1))
