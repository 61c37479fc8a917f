"""The memory account of a run: what is held, by kind, in bytes.

A tensor's bytes are those of its storage, each storage once. A method declares nothing: its share is
found by walking what it keeps (`avbench.kept_state`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from avbench.kept_state import kept_tensors, rehearsal_memories


@dataclass(frozen=True)
class MemoryAccount:
    """Bytes a run holds between its training steps.

    Attributes:
        rehearsal_memory: stored clips and all that is stored beside each of them.
        other_state: whatever else the method keeps: teachers, slow copies, running means.
        parameters: of the backbone and of the audio-video matching module, buffers included.
        gradients: of those parameters, as the last step left them.
        optimiser_state: moments and step counters.
    """

    rehearsal_memory: int
    other_state: int
    parameters: int
    gradients: int
    optimiser_state: int

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """Names and bytes, in the order in which plots stack them."""
        return [
            ("rehearsal memory", self.rehearsal_memory),
            ("other state", self.other_state),
            ("parameters", self.parameters),
            ("gradients", self.gradients),
            ("optimiser state", self.optimiser_state),
        ]

    def with_rehearsal_memory(self, rehearsal_memory: int) -> MemoryAccount:
        """Return the account with another size of the rehearsal memory, such as that of a full one."""
        return replace(self, rehearsal_memory=rehearsal_memory)


def memory_account(*, method: object, modules: Iterable[nn.Module], optimiser: Optimizer) -> MemoryAccount:
    """Return the account of a run as it stands.

    Args:
        method: whatever it keeps counts, except what belongs to `modules` and `optimiser`.
        modules: the backbone, and the audio-video matching module where there is one.
        optimiser: the run's.
    """
    trained = model_tensors(modules)
    gradients = [value.grad for value in trained if value.grad is not None]
    state = optimiser_tensors(optimiser)
    kept = list(kept_tensors(method, not_counting=[*trained, *gradients, *state]))
    return MemoryAccount(
        rehearsal_memory=sum(entry.nbytes for entry in kept if entry.kind == "rehearsal memory"),
        other_state=sum(entry.nbytes for entry in kept if entry.kind == "other state"),
        parameters=storage_bytes(trained),
        gradients=storage_bytes(gradients),
        optimiser_state=storage_bytes(state),
    )


def model_tensors(modules: Iterable[nn.Module]) -> list[Tensor]:
    """Return the parameters and buffers of `modules`."""
    return [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]


def optimiser_tensors(optimiser: Optimizer) -> list[Tensor]:
    """Return the tensors of the optimiser's state."""
    values: list[Any] = [value for state in optimiser.state.values() for value in state.values()]
    return [value for value in values if isinstance(value, Tensor)]


def step_residents(
    *, method: object, modules: Iterable[nn.Module], optimiser: Optimizer
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the tensors that count from before a training step, and those that never count.

    The first are parameters, gradients, optimiser state and what the method keeps; the second the rehearsal
    memories, which wait beside the device.
    """
    trained = model_tensors(modules)
    gradients = [value.grad for value in trained if value.grad is not None]
    kept = [entry.tensor for entry in kept_tensors(method) if entry.kind == "other state"]
    memories = [tensor for _, memory in rehearsal_memories(method) for tensor in memory.contents.values()]
    return [*trained, *gradients, *optimiser_tensors(optimiser), *kept], memories


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of all storages under `tensors`, each once."""
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())
