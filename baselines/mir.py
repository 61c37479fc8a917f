"""Maximally interfered retrieval (MIR): rehearse the clips that a step on the incoming ones would harm most.

Source: Aljundi et al., NeurIPS 2019, arXiv 1908.04742, section 3.1 (ER-MIR); published comparison
G-JWLee/STELLA_code, models/cl_methods/mir.py. More clips are sampled than are rehearsed; those whose loss
rises most under a virtual step on the incoming clips are joined to them.

As in the published comparison the virtual step is the run's optimiser's (the paper's is plain gradient
descent), and the loss is the whole training loss. Where we differ: that code draws another mask for the
loss before than for the loss after the step, so that its ranking is partly that of two masks; here both
are taken under one. It copies the model to try the step; here neither model nor optimiser is touched. Of
several processes each selects among clips of its part of the memory; the step they try is one of all.
"""

from typing import Any

import torch
from torch import Tensor

from avbench.capacity import Capacity
from avbench.clips import ClipBatch
from avbench.errors import InputError
from avbench.method import Method, Strategy
from avbench.passes import masked_losses
from avbench.rehearsal import RehearsalMemory
from avbench.virtual_step import step_on_incoming


class MIR(Method):
    """Join every batch with as many rehearsed clips: of more sampled ones, those it interferes with most.

    Args:
        capacity: size of the rehearsal memory, in clips or in bytes.
        search_factor: sampled clips for each that is rehearsed.
    """

    paper = "Online Continual Learning with Maximally Interfered Retrieval, NeurIPS 2019, arXiv 1908.04742"
    over_processes = True

    def __init__(self, *, capacity: Capacity = 2000, search_factor: int = 5) -> None:
        super().__init__()
        if search_factor < 1:
            raise InputError(f"search_factor={search_factor} samples nothing: give 1 or more")
        self.search_factor = search_factor
        self.memory = RehearsalMemory(capacity)

    def before_forward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Join the most interfered clips to the incoming ones, then offer those to the memory."""
        incoming = strategy.mbatch
        after_step = self._step_on_incoming(strategy)
        if after_step is not None and self.memory:
            candidates = self.memory.sample(self.search_factor * len(incoming))
            interfered = self.most_interfered(strategy, candidates, after_step, len(incoming))
            strategy.mbatch = incoming + interfered
        self.memory.add(incoming)

    def stand_by_forward(self, strategy: Strategy) -> None:
        """Take part in the step that the processes with clips try."""
        self._step_on_incoming(strategy)

    def _step_on_incoming(self, strategy: Strategy) -> dict[str, Tensor] | None:
        generator = self.generator("virtual step")
        return step_on_incoming(strategy, generator, wanted=bool(self.memory))

    def most_interfered(
        self, strategy: Strategy, candidates: ClipBatch, after_step: dict[str, Tensor], clips: int
    ) -> ClipBatch:
        """Return `clips` of `candidates`: those whose losses the parameters `after_step` raise most."""
        noise = strategy.model.draw_noise(candidates, self.generator("candidates"))
        with torch.no_grad():
            before = masked_losses(strategy, candidates, noise)
            after = masked_losses(strategy, candidates, noise, parameters=after_step)
        order = (after - before).argsort(descending=True, stable=True)
        return candidates[order[:clips]]
