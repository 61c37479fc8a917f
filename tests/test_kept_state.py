"""The walk over what a method keeps: nothing left out, nothing twice, the unknown refused."""

from __future__ import annotations

import copy
import functools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from avbench.clips import ClipBatch
from avbench.errors import RunError
from avbench.kept_state import kept_tensors, rehearsal_memories
from avbench.randomness import Randomness
from avbench.rehearsal import RehearsalMemory

Clips = Callable[..., ClipBatch]


@dataclass
class Part:
    mean: torch.Tensor
    inner: Any = None


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: torch.Tensor) -> None:
        self.value = value


class Keeper:
    """Keeps whatever it is given."""

    def __init__(self, **kept: Any) -> None:
        self.__dict__.update(kept)


def closing_over(tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
    return lambda: tensor


HIDING_PLACES: dict[str, Callable[[torch.Tensor], Any]] = {
    "attribute": lambda tensor: tensor,
    "list": lambda tensor: [1, [tensor]],
    "dict": lambda tensor: {"a": {3: tensor}},
    "key": lambda tensor: {tensor: 0},
    "tuple": lambda tensor: ("x", (tensor,)),
    "set": lambda tensor: {tensor},
    "deque": lambda tensor: deque([tensor]),
    "dataclass": lambda tensor: Part(mean=tensor),
    "object": lambda tensor: Keeper(deep=Keeper(tensor=tensor)),
    "slots": Slotted,
    "parameter": lambda tensor: nn.ParameterList([nn.Parameter(tensor)]),
    "closure": closing_over,
    "partial": lambda tensor: functools.partial(torch.add, other=tensor),
    "bound method": lambda tensor: Keeper(tensor=tensor).__init__,  # type: ignore[misc]
    "array": lambda tensor: tensor.numpy(),
}


@pytest.mark.parametrize("place", HIDING_PLACES)
def test_a_tensor_is_found_wherever_it_hangs(place: str) -> None:
    keeper = Keeper(name="x", number=3, nothing=None, kept=HIDING_PLACES[place](torch.zeros(7)))
    found = list(kept_tensors(keeper))
    assert [(entry.kind, entry.nbytes) for entry in found] == [("other state", 28)]
    assert found[0].path.startswith("kept")


def test_modules_optimisers_and_memories_are_looked_into(clips: Clips) -> None:
    teacher = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimiser = torch.optim.Adam(teacher.parameters())
    teacher(torch.randn(4, 3)).sum().backward()
    optimiser.step()
    memory = RehearsalMemory(10)
    memory.attach(np.random.default_rng(0))
    memory.add(clips(3).with_extras(features=torch.zeros(3, 5)))
    keeper = Keeper(teacher=teacher, optimiser=optimiser, memories={"past": memory})
    found = {entry.path: entry for entry in kept_tensors(keeper)}

    parameters = sum(value.numel() for value in teacher.parameters())
    state = sum(value.numel() * value.element_size() for value in teacher.buffers())
    moments = sum(
        value.numel() * value.element_size()
        for moment in optimiser.state.values()
        for value in moment.values()
    )
    other = sum(entry.nbytes for entry in found.values() if entry.kind == "other state")
    # Parameters and their gradients, buffers, and the optimiser's moments and counters.
    assert other == 2 * 4 * parameters + state + moments
    assert {"teacher.0.weight", "teacher.0.weight.grad", "teacher.1.running_mean"} <= found.keys()

    rehearsal = [entry for entry in found.values() if entry.kind == "rehearsal memory"]
    assert sum(entry.nbytes for entry in rehearsal) == memory.nbytes
    assert "memories.past.extra/features" in found
    assert [path for path, _ in rehearsal_memories(keeper)] == ["memories.past"]


def test_one_storage_counts_once_and_whole() -> None:
    whole = torch.zeros(100)
    keeper = Keeper(first=whole[:10], again=whole[50:], same=whole, apart=torch.zeros(1))
    found = list(kept_tensors(keeper))
    assert [(entry.path, entry.nbytes) for entry in found] == [("first", 400), ("apart", 4)]


def test_what_belongs_to_someone_else_does_not_count() -> None:
    backbone = nn.Linear(3, 3)
    keeper = Keeper(backbone=backbone, slow=copy.deepcopy(backbone))
    found = [entry.path for entry in kept_tensors(keeper, not_counting=backbone.parameters())]
    assert found == ["slow.weight", "slow.bias"]


def test_cycles_end_and_plain_things_hold_nothing() -> None:
    keeper = Keeper(
        generator=torch.Generator(), randomness=Randomness(0), place=Path("x"), function=torch.sin, kind=int
    )
    keeper.__dict__["myself"] = [keeper]
    assert list(kept_tensors(keeper)) == []


def test_what_cannot_be_looked_into_is_refused() -> None:
    with pytest.raises(RunError, match=r"iterator at 'source\.deep'"):
        list(kept_tensors(Keeper(source=Keeper(deep=iter([torch.zeros(3)])))))
