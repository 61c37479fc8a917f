"""Experience replay (Rolnick et al., NeurIPS 2019, arXiv 1811.11682), as in the published comparison."""

from typing import Any

from avbench.capacity import Capacity
from avbench.method import Method, Strategy
from avbench.rehearsal import RehearsalMemory


class ER(Method):
    """Join every batch with as many rehearsed clips.

    Args:
        capacity: size of the rehearsal memory, in clips or in bytes.
    """

    paper = "Experience Replay for Continual Learning, NeurIPS 2019, arXiv 1811.11682"
    over_processes = True

    def __init__(self, *, capacity: Capacity = 2000) -> None:
        super().__init__()
        self.memory = RehearsalMemory(capacity)

    def before_forward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Join rehearsed clips to the incoming ones, then offer those to the memory."""
        incoming = strategy.mbatch
        if self.memory:
            strategy.mbatch = incoming + self.memory.sample(len(incoming))
        self.memory.add(incoming)
