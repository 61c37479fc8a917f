"""Learning without forgetting, with features in the place of class scores.

Source: Li and Hoiem, ECCV 2016, arXiv 1606.09282, equations 2 and 3: what the model of before answers to the
new task's inputs are soft targets for the model that learns the new task (distillation after Hinton et al.,
arXiv 1503.02531, at temperature 2). There, answers are the class scores of old tasks' heads. Pre-training has
neither classes nor heads: here the answers are a clip's pooled features, whose dimensions are taken for
classes, in audio and in video. Both models see the same patches of the same clips.

- Equation 3 is a cross entropy; here the old answers' own entropy is taken out, so that the penalty is 0
  where both models answer alike. The gradient is the same.
- Hinton et al. multiply by the squared temperature; equation 3 does not, nor do we.
- The paper trains the new head alone at first. There is none here.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avbench.backbone import CAVMAE
from avbench.errors import InputError
from avbench.method import Method, Strategy
from avbench.model_copies import frozen_copy


class LwF(Method):
    """Keep the answers that the model of the last task's end gives to the incoming clips.

    Args:
        weight: of the distillation loss of each modality (published: 1).
        temperature: that divides the features before the softmax (published: 2).
    """

    paper = "Learning without Forgetting, ECCV 2016, arXiv 1606.09282"
    needs_boundaries = True
    over_processes = True
    model_copies = 1

    def __init__(self, *, weight: float = 1.0, temperature: float = 2.0) -> None:
        super().__init__()
        if not 0 <= weight < math.inf:
            raise InputError(f"weight={weight} is no weight: give 0 or more")
        if not 0 < temperature < math.inf:
            raise InputError(f"temperature={temperature} is not positive: give more than 0")
        self.weight = weight
        self.temperature = temperature
        # The model at the end of the last task; None in the first.
        self.teacher: CAVMAE | None = None

    def before_backward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Add the distance from the old model's answers, from the second task on."""
        if self.teacher is None:
            return
        with torch.no_grad(), strategy.autocast():
            wanted = self.teacher.pooled(strategy.mbatch, strategy.mb_noise)
        output = strategy.mb_output
        distance = distillation(output.audio_pooled, wanted.audio, self.temperature)
        distance = distance + distillation(output.video_pooled, wanted.video, self.temperature)
        strategy.loss = strategy.loss + self.weight * distance

    def after_training_exp(self, strategy: Strategy, **kwargs: Any) -> None:
        """Set the model aside as it is now."""
        self.teacher = frozen_copy(strategy.model)


def distillation(features: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """Return the divergence (scalar, 0 or more) of softened features from the wanted ones: mean over clips.

    Args:
        features, wanted: (B, D).
        temperature: that divides both before the softmax.
    """
    return F.kl_div(
        F.log_softmax(features / temperature, dim=1),
        F.log_softmax(wanted / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
