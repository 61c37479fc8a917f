"""Multitask training: says that it wants all tasks at once, and changes nothing else."""

from __future__ import annotations

from typing import Any

from avbench.method import Method
from avbench.registry import catalogue


def test_asks_for_all_tasks_and_trains_as_usual(pretraining: Any, clips: Any) -> None:
    multitask = catalogue("strategy").get("multitask").cls()
    assert multitask.joint
    assert pretraining(multitask).step(clips(3)).item() == pretraining(Method()).step(clips(3)).item()
