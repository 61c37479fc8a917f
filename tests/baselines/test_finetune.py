"""Fine-tuning: nothing but the shared training."""

from __future__ import annotations

from typing import Any

from avbench.method import Method
from avbench.registry import catalogue


def test_is_the_shared_training_and_keeps_nothing(pretraining: Any, clips: Any) -> None:
    finetune = catalogue("strategy").get("finetune").cls()
    strategies = pretraining(finetune), pretraining(Method())
    for seed in range(3):
        losses = [strategy.step(clips(3, seed)).item() for strategy in strategies]
        assert losses[0] == losses[1]
    assert not finetune.joint
    assert not finetune.needs_boundaries
