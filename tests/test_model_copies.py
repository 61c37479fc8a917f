"""Copies of the model: apart from it, and following it as they say."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from avbench.method import Method
from avbench.model_copies import frozen_copy, move_towards, warmed_decay


def test_a_copy_is_apart_and_takes_no_gradient(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(Method())
    strategy.step(clips(3, 1))
    copy = frozen_copy(strategy.model)
    assert all(not value.requires_grad and value.grad is None for value in copy.parameters())
    before = [value.clone() for value in copy.parameters()]
    assert all(torch.equal(*pair) for pair in zip(before, strategy.model.parameters(), strict=True))
    strategy.step(clips(3, 2))
    assert all(torch.equal(*pair) for pair in zip(before, copy.parameters(), strict=True))
    assert not all(torch.equal(*pair) for pair in zip(before, strategy.model.parameters(), strict=True))
    assert all(value.requires_grad for value in strategy.model.parameters())


def test_a_slow_copy_keeps_its_share(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(Method())
    slow = frozen_copy(strategy.model)
    before = [value.clone() for value in slow.parameters()]
    strategy.step(clips(3))
    move_towards(slow, strategy.model, 0.75)
    for old, value, new in zip(before, slow.parameters(), strategy.model.parameters(), strict=True):
        torch.testing.assert_close(value, 0.75 * old + 0.25 * new.detach())


@pytest.mark.parametrize(("steps", "decay"), [(0, 0.0), (1, 0.5), (9, 0.9), (10_000, 0.999)])
def test_the_decay_is_small_at_first(steps: int, decay: float) -> None:
    assert warmed_decay(0.999, steps) == pytest.approx(decay)
