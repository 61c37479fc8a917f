"""Sizes of rehearsal memories: clips or bytes, told apart and refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from avbench.capacity import Capacity, as_capacity, bytes_of
from avbench.errors import InputError, RunError
from avbench.options import convert
from avbench.rehearsal import RehearsalMemory


@pytest.mark.parametrize(
    ("given", "capacity", "nbytes"),
    [
        (2000, 2000, None),
        ("500", 500, None),
        ("512MiB", "512MiB", 512 * 2**20),
        ("1.5 gb", "1.5GB", 1_500_000_000),
        ("100 B", "100B", 100),
        ("7kib", "7KiB", 7 * 1024),
    ],
)
def test_clips_and_bytes(given: Any, capacity: Any, nbytes: int | None) -> None:
    assert as_capacity(given) == capacity
    assert bytes_of(as_capacity(given)) == nbytes
    assert convert(Capacity, given) == capacity


@pytest.mark.parametrize(
    "given", [0, -3, True, 1.5, None, "", "many", "12 parsecs", "0MiB", "-1MiB", "nanMB"]
)
def test_what_is_no_size(given: Any) -> None:
    with pytest.raises(ValueError, match="rehearsal memory"):
        as_capacity(given)
    with pytest.raises(ValueError, match="rehearsal memory"):
        convert(Capacity, given)


def test_a_budget_holds_as_many_clips_as_fit(clips: Callable[..., Any]) -> None:
    one = RehearsalMemory(1)
    one.attach(np.random.default_rng(0))
    one.add(clips(1))
    memory = RehearsalMemory(f"{one.nbytes * 3 + 1}B")
    memory.attach(np.random.default_rng(0))
    assert len(memory) == 0
    with pytest.raises(RunError, match="known with the first clip"):
        _ = memory.capacity
    for seed in range(4):
        memory.add(clips(2, seed))
    assert (memory.capacity, len(memory), memory.nbytes) == (3, 3, 3 * one.nbytes)


def test_what_is_stored_beside_a_clip_counts(clips: Callable[..., Any]) -> None:
    held = {}
    for name, batch in (
        ("clips", clips(4)),
        ("with features", clips(4).with_extras(features=clips(4).audio)),
    ):
        memory = RehearsalMemory("100kB")
        memory.attach(np.random.default_rng(0))
        memory.add(batch)
        held[name] = memory.capacity
        assert memory.capacity_nbytes <= 100_000
    assert held["with features"] < held["clips"]


def test_a_budget_below_one_clip_is_refused(clips: Callable[..., Any]) -> None:
    memory = RehearsalMemory("100B")
    memory.attach(np.random.default_rng(0))
    with pytest.raises(InputError, match="100 bytes does not hold one clip of 14344"):
        memory.add(clips(1))


def test_the_state_of_a_budget_comes_back(clips: Callable[..., Any]) -> None:
    memory, again, other = RehearsalMemory("100kB"), RehearsalMemory("100kB"), RehearsalMemory("90kB")
    memory.attach(np.random.default_rng(0))
    memory.add(clips(3))
    again.load_state_dict(memory.state_dict())
    assert (len(again), again.capacity) == (3, memory.capacity)
    with pytest.raises(InputError, match="100000 bytes, this one of 90000 bytes"):
        other.load_state_dict(memory.state_dict())
