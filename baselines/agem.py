"""Averaged gradient episodic memory: no step may raise the loss of rehearsed clips, to first order.

Source: Chaudhry et al., ICLR 2019, arXiv 1812.00420, equation 11; the task-free form with a reservoir as
memory is that of Buzzega et al. (aimagelab/mammoth, models/agem_r.py). The loss is that of pre-training.

- The reference gradient is that of as many rehearsed clips as came in, drawn from the memory as it was before
  this step, as in mammoth: clips of the batch itself would make the reference agree with its gradient. With
  an empty memory, that is in the first step, nothing is projected.
- With micro-batches the reference is computed in parts of that size, their contrast among each part, as the
  step's own gradient is.
- A parameter that the step gives no gradient stays where it is and counts as 0.
- Of several processes each rehearses as many clips as came to it, from its part of the memory, and their
  contrast is among its own. The reference is the gradient of all.
- The published code branches on the dot product; here the projection is always computed, and is by 0 where
  the gradients agree: no value is read back from the device.
"""

from typing import Any

import torch
from torch import Tensor

from avbench import processes
from avbench.capacity import Capacity
from avbench.clips import ClipBatch
from avbench.method import Method, Strategy
from avbench.passes import masked_losses, parameter_gradients, trained_parameters
from avbench.rehearsal import RehearsalMemory


class AGEM(Method):
    """Take out of each step's gradient what would raise the loss of rehearsed clips.

    Args:
        capacity: size of the rehearsal memory, in clips or in bytes.
    """

    paper = "Efficient Lifelong Learning with A-GEM, ICLR 2019, arXiv 1812.00420"
    over_processes = True

    def __init__(self, *, capacity: Capacity = 2000) -> None:
        super().__init__()
        self.memory = RehearsalMemory(capacity)
        # Clips of this step that wait to be offered to the memory; empty between steps.
        self.arrived: list[ClipBatch] = []

    def before_forward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Note the incoming clips."""
        self.arrived.append(strategy.mbatch)

    def before_update(self, strategy: Strategy, **kwargs: Any) -> None:
        """Project the gradient, then offer the step's clips to the memory."""
        came = sum(len(clips) for clips in self.arrived)
        rehearsed = self.memory.sample(came) if self.memory and came else None
        clips_of_all = processes.total(0 if rehearsed is None else len(rehearsed))
        if clips_of_all:
            parameters = {
                name: value
                for name, value in trained_parameters(strategy.model).items()
                if value.grad is not None
            }
            reference = self._gradients(strategy, rehearsed, parameters, clips_of_all)
            gradients = [value.grad for value in parameters.values() if value.grad is not None]
            project(gradients, processes.summed_each(reference))
        for clips in self.arrived:
            self.memory.add(clips)
        self.arrived = []

    def _gradients(
        self,
        strategy: Strategy,
        rehearsed: ClipBatch | None,
        parameters: dict[str, Tensor],
        clips_of_all: int,
    ) -> list[Tensor]:
        """This process's part of the gradient of the rehearsed clips' mean loss for each of `parameters`."""
        total = [torch.zeros_like(value) for value in parameters.values()]
        if rehearsed is None:
            return total
        noise = strategy.model.draw_noise(rehearsed, self.generator("masking"))
        size = strategy.settings.micro_batch_size or len(rehearsed)
        for start in range(0, len(rehearsed), size):
            part = slice(start, start + size)
            losses = masked_losses(strategy, rehearsed[part], noise.of(part))
            found = parameter_gradients(losses.sum() / clips_of_all, parameters)
            for held, gradient in zip(total, found, strict=True):
                held.add_(gradient)
        return total


@torch.no_grad()
def project(gradients: list[Tensor], reference: list[Tensor]) -> None:
    """Make `gradients` orthogonal to `reference` where they point against it, in place (equation 11).

    Where their dot product is 0 or more they stay as they are, to the bit. Both are one vector, in parts.
    """
    pairs = list(zip(gradients, reference, strict=True))
    dot = torch.stack([(own * other).sum() for own, other in pairs]).sum()
    square = torch.stack([other.square().sum() for other in reference]).sum()
    # The bound keeps a reference of nothing but zeros from making 0 / 0.
    share = dot.clamp(max=0) / square.clamp(min=torch.finfo(square.dtype).tiny)
    for own, other in pairs:
        own.sub_(share * other)
