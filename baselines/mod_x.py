"""Mod-X: keep how similar the old model finds the clips of a batch to one another, across modalities.

Source: Ni et al., ICML 2023, arXiv 2305.07437; ZixuanNi/Mod-X, ModX_Training/continue_train_model.py. The old
and the current model each compare every audio with every video of the incoming clips (there: images and
texts). Rows of the current model's matrix of cosines, off its diagonal too, are pulled to the old model's,
by the divergence of their softmaxes. Where the old model errs about a clip, finding another more similar than
the true pair, its row is replaced by the current model's own, so that it pulls nowhere.

As the code does it, and the paper leaves open: cosines are not divided by a temperature; the divergence is
summed over the clips, not averaged, so that the weight of 20 is that of a sum; the directions audio to video
and video to audio are averaged. There the replaced rows keep their gradient, which is 0 either way.

Unlike there, both models see clips masked, as pre-training does, and alike; and the contrast of pre-training
has its own temperature and stands beside reconstruction, so that the weight does not mean quite the same.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avbench import processes
from avbench.backbone import CAVMAE, Tokens
from avbench.errors import InputError
from avbench.method import Method, Strategy
from avbench.model_copies import frozen_copy


class ModX(Method):
    """Keep the similarities across modalities that the model of the last task's end sees in each batch.

    Args:
        weight: of the divergence from the old similarities, summed over the clips (alpha; published: 20).
    """

    paper = (
        "Continual Vision-Language Representation Learning with Off-Diagonal Information, ICML 2023, "
        "arXiv 2305.07437"
    )
    needs_boundaries = True
    over_processes = True
    model_copies = 1

    def __init__(self, *, weight: float = 20.0) -> None:
        super().__init__()
        if not 0 <= weight < math.inf:
            raise InputError(f"weight={weight} is no weight: give 0 or more")
        self.weight = weight
        # The model at the end of the last task; None in the first.
        self.teacher: CAVMAE | None = None

    def before_backward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Add the divergence from the old model's similarities, from the second task on."""
        if self.teacher is None:
            return
        with torch.no_grad(), strategy.autocast():
            old = self.teacher.pooled(strategy.mbatch, strategy.mb_noise)
        new = Tokens(strategy.mb_output.audio_pooled, strategy.mb_output.video_pooled)
        strategy.loss = strategy.loss + self.weight * off_diagonal_distillation(old, new)

    def stand_by_backward(self, strategy: Strategy) -> None:
        """Compare nothing, while other processes compare their clips with those of all."""
        if self.teacher is not None:
            none = torch.zeros(0, strategy.model.size.width, device=strategy.device, requires_grad=True)
            old, new = Tokens(none.detach(), none.detach()), Tokens(none, none)
            strategy.loss = strategy.loss + off_diagonal_distillation(old, new)

    def after_training_exp(self, strategy: Strategy, **kwargs: Any) -> None:
        """Set the model aside as it is now."""
        self.teacher = frozen_copy(strategy.model)


def off_diagonal_distillation(old: Tokens, new: Tokens) -> Tensor:
    """Return the divergence (scalar, 0 or more) of similarities across modalities from the old ones.

    It is summed over the clips. Of several processes each compares its own with those of all, and returns
    what is its part when the mean over all clips' processes is taken, as that of the loss is.

    Args:
        old, new: features (B, D) of the same clips by the old and by the current model, of any length.
    """
    to_video = _divergence(*(_cosines(each.audio, each.video) for each in (old, new)))
    to_audio = _divergence(*(_cosines(each.video, each.audio) for each in (old, new)))
    clips = processes.total(len(new.audio))
    return (to_video + to_audio) / 2 * (clips / max(len(new.audio), 1))


def _cosines(features: Tensor, others: Tensor) -> tuple[Tensor, int]:
    """Similarities (B, N) of clips to the others of all processes' clips, and the place of their own."""
    everyones, first = processes.gather_rows(F.normalize(others.float(), dim=1))
    return F.normalize(features.float(), dim=1) @ everyones.T, first


def _divergence(old: tuple[Tensor, int], new: tuple[Tensor, int]) -> Tensor:
    """Summed divergence of the new rows from those of the old ones that are right about their clip."""
    (before, first), (now, _) = old, new
    right = before.diagonal(offset=first) >= before.amax(dim=1)
    wanted = torch.where(right[:, None], before, now).detach()
    return F.kl_div(F.log_softmax(now, dim=1), F.log_softmax(wanted, dim=1), reduction="sum", log_target=True)
