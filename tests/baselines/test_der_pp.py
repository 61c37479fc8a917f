"""DER++: features stored once, and the pull towards them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from avbench.objectives import training_loss
from avbench.registry import catalogue

DERpp = catalogue("strategy").get("der-pp").cls


def test_features_are_those_of_arrival_and_stay(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(DERpp(capacity=50))
    strategy.step(clips(4, 1))
    audio, video = strategy.mb_output.audio_pooled, strategy.mb_output.video_pooled
    for seed in range(2, 5):
        strategy.step(clips(4, seed))
    held = strategy.method.memory.contents
    assert len(strategy.method.memory) == 16
    assert torch.equal(held["extra/audio_features"][:4], audio)
    assert torch.equal(held["extra/video_features"][:4], video)
    assert not held["extra/audio_features"].requires_grad


@pytest.mark.parametrize("penalty", [0.5, 2.0])
def test_loss_is_the_shared_one_and_the_squared_distance(
    penalty: float, pretraining: Any, clips: Any
) -> None:
    strategy = pretraining(DERpp(capacity=50, penalty=penalty))
    first = strategy.step(clips(4, 1)).item()
    assert first == training_loss(strategy.mb_output).item()

    held = {name: value.clone() for name, value in strategy.method.memory.contents.items()}
    loss = strategy.step(clips(3, 2)).item()
    output, rehearsed = strategy.mb_output, strategy.mbatch.clip[3:]
    slots = [held["clip"].tolist().index(clip) for clip in rehearsed.tolist()]
    expected = training_loss(output)
    expected = expected + penalty * F.mse_loss(output.audio_pooled[3:], held["extra/audio_features"][slots])
    expected = expected + penalty * F.mse_loss(output.video_pooled[3:], held["extra/video_features"][slots])
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    assert loss > training_loss(output).item()


def test_keeps_nothing_but_the_memory_between_steps(pretraining: Any, clips: Any) -> None:
    from avbench.kept_state import kept_tensors

    strategy = pretraining(DERpp(capacity=50))
    for seed in range(3):
        strategy.step(clips(4, seed))
    assert {entry.kind for entry in kept_tensors(strategy.method)} == {"rehearsal memory"}
