"""Elastic weight consolidation, online: one anchor and one running importance of the parameters.

Source: Kirkpatrick et al., PNAS 2017, arXiv 1612.00796, equation 3, in the online form of Schwarz et al.
(Progress & Compress, ICML 2018, arXiv 1805.06370, section 3): after each task the Fisher information F of
the parameters is added to the decayed one of before, and parameters are pulled to where the last task left
them with strength / 2 x the sum of F (parameter - anchor)^2.

- A Fisher information needs a likelihood, and pre-training has no labels to draw from one. Here it is the
  empirical one: the mean square of the gradient of each clip's own training loss (reconstruction and
  contrast), as aimagelab/mammoth, models/ewc_on.py, takes it at the samples' own labels.
- Squares are of single clips' gradients, as the definition has it; many implementations square that of a
  batch's mean loss, which is smaller about by the number of clips. A clip's contrast is with the
  `FISHER_BATCH` - 1 clips read along with it.
- Of several processes each takes its share of the clips.
- mammoth's penalty lacks the half, and it weighs each sample by the probability of its label, which has no
  counterpart here. We follow the papers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from avbench import processes
from avbench.clips import ClipBatch
from avbench.errors import InputError, RunError
from avbench.method import Method, Strategy
from avbench.passes import masked_losses, parameter_gradients, trained_parameters

FISHER_BATCH = 8
"""Clips whose gradients are taken from one pass: each costs a backward pass through all of them."""

Batch = TypeVar("Batch")


class _TaskStrategy(Strategy, Protocol):
    """A strategy as methods see it that need boundaries: with the loader of the task's clips."""

    dataloader: Iterable[ClipBatch]


class EWC(Method):
    """Hold each parameter where the last task left it, the firmer the more past losses depend on it.

    The strength depends on the problem: on the loss's scale (a Fisher information is a squared gradient) and
    on how far a task moves the parameters. The papers search it for each of their problems, over orders of
    magnitude; so should who reports EWC. The default is from two made-up tasks of 80 steps with the tiny
    backbone, tried at 10, 100, 1000 and 10000: the least at which the first task's loss did not rise in the
    second (at 10 it rose as in fine-tuning; at 10000 the second task was learnt by two thirds).

    Args:
        strength: of the pull (lambda).
        decay: what is left of the earlier tasks' importance at each task's end (gamma), 0 to 1. At 1 tasks
            count alike.
        fisher_clips: of each task that its importance is estimated from; all where it has fewer.
    """

    paper = "Progress & Compress: A scalable framework for continual learning, ICML 2018, arXiv 1805.06370"
    needs_boundaries = True
    over_processes = True
    model_copies = 2

    def __init__(self, *, strength: float = 1000.0, decay: float = 1.0, fisher_clips: int = 128) -> None:
        super().__init__()
        if not 0 <= strength < math.inf:
            raise InputError(f"strength={strength} is no weight: give 0 or more")
        if not 0 <= decay <= 1:
            raise InputError(f"decay={decay} is not a share: give 0 to 1")
        if fisher_clips < 1:
            raise InputError(f"fisher_clips={fisher_clips} tells nothing: give 1 or more")
        self.strength = strength
        self.decay = decay
        self.fisher_clips = fisher_clips
        # By parameter name; empty in the first task.
        self.fisher: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}

    def before_backward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Add the pull towards the anchor, from the second task on."""
        if self.fisher:
            parameters = trained_parameters(strategy.model)
            terms = [
                (self.fisher[name] * (value - self.anchor[name]).square()).sum()
                for name, value in parameters.items()
            ]
            strategy.loss = strategy.loss + self.strength / 2 * torch.stack(terms).sum()

    def after_training_exp(self, strategy: _TaskStrategy, **kwargs: Any) -> None:
        """Estimate the task's importance of the parameters, and set the anchor."""
        parameters = trained_parameters(strategy.model)

        def losses_of(clips: ClipBatch) -> Tensor:
            noise = strategy.model.draw_noise(clips, self.generator("masking"))
            return masked_losses(strategy, clips, noise)

        # Later tasks come in the order in which they would come without this pass.
        with strategy.randomness.undisturbed("shuffle"):
            clips = processes.part(self.fisher_clips)
            batches = _first_clips(strategy.dataloader, clips, strategy.device)
            found = diagonal_fisher(losses_of, parameters, batches)
        for name, value in parameters.items():
            if name in self.fisher:
                found[name].add_(self.fisher[name], alpha=self.decay)
            self.anchor[name] = value.detach().clone()
        self.fisher = found


def diagonal_fisher(
    losses_of: Callable[[Batch], Tensor], parameters: Mapping[str, Tensor], batches: Iterable[Batch]
) -> dict[str, Tensor]:
    """Return the diagonal of the empirical Fisher information: for each parameter, by name.

    That is the mean over all clips, of all processes, of the squared gradient of the clip's own loss.

    Args:
        losses_of: returns the loss (B,) of each clip of a batch, with a graph.
        parameters: by name.
        batches: of clips; any number of each size.

    Raises:
        RunError: there is no clip.
    """
    fisher = {name: torch.zeros_like(value) for name, value in parameters.items()}
    clips = 0
    for batch in batches:
        losses = losses_of(batch)
        for number, loss in enumerate(losses.unbind(), start=1):
            gradients = parameter_gradients(loss, parameters, retain=number < len(losses))
            for held, gradient in zip(fisher.values(), gradients, strict=True):
                held.addcmul_(gradient, gradient)
        clips += len(losses)
    clips = processes.total(clips)
    if not clips:
        raise RunError("the importance of parameters cannot be estimated: the task has no clips")
    for held, everyones in zip(fisher.values(), processes.summed_each(list(fisher.values())), strict=True):
        held.copy_(everyones).div_(clips)
    return fisher


def _first_clips(loader: Iterable[ClipBatch], clips: int, device: torch.device | str) -> Iterator[ClipBatch]:
    """Yield the first `clips` clips of a pass in batches of `FISHER_BATCH`, smaller where a batch ends."""
    left = clips
    if not left:
        return
    for loaded in loader:
        batch = loaded[:left].to(device)
        for start in range(0, len(batch), FISHER_BATCH):
            yield batch[start : start + FISHER_BATCH]
        left -= len(batch)
        if not left:
            return
