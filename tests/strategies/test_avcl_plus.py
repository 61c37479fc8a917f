"""AVCL+: halves are stored, in half the bytes, and rehearsed as they were stored."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from avbench.objectives import training_loss
from avbench.registry import catalogue

KNOWN = catalogue("strategy")
AVCL, AVCLPlus = KNOWN.get("avcl").cls, KNOWN.get("avcl-plus").cls


def plus(**options: Any) -> Any:
    return AVCLPlus(**{"capacity": 50, "chunk": 2} | options)


def test_stores_the_half_that_was_trained_on(pretraining: Any, clips: Any, geometry: Any) -> None:
    strategy = pretraining(plus())
    trained = []
    for seed in range(2):
        strategy.step(clips(3, seed))
        trained.append(strategy.mbatch[:3])
    held = strategy.method.memory.contents
    for modality in ("audio", "video"):
        half = geometry.patches(modality) // 2
        assert held[modality].shape[1] == half
        assert torch.equal(held[modality], torch.cat([batch.patches(modality) for batch in trained]))
        positions = torch.cat([batch.positions(modality) for batch in trained])
        assert torch.equal(held[f"{modality}_positions"].long(), positions)
        whole = torch.cat([clips(3, seed).patches(modality) for seed in range(2)])
        for clip in range(6):
            assert torch.equal(held[modality][clip], whole[clip, positions[clip]])
    assert {name for name in held if name.startswith("extra/")} == {
        "extra/audio_features",
        "extra/video_features",
        "extra/audio_queries",
        "extra/video_queries",
    }


def test_rehearses_halves_as_they_were_stored(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(plus())
    strategy.step(clips(4, 1))
    held = {name: value.clone() for name, value in strategy.method.memory.contents.items()}
    loss = strategy.step(clips(4, 2)).item()
    rehearsed, output = strategy.mbatch[4:], strategy.mb_output
    slots = [held["clip"].tolist().index(clip) for clip in rehearsed.clip.tolist()]
    assert torch.equal(rehearsed.video, held["video"][slots])
    assert torch.equal(rehearsed.video_positions, held["video_positions"][slots].long())
    assert torch.equal(rehearsed.audio_positions, held["audio_positions"][slots].long())
    distance = F.mse_loss(output.audio_pooled[4:], held["extra/audio_features"][slots])
    distance = distance + F.mse_loss(output.video_pooled[4:], held["extra/video_features"][slots])
    matching = loss - (training_loss(output) + 0.5 * distance).item()
    assert matching == pytest.approx(0.69, abs=0.1)  # what is left is the matching loss, near log 2


def test_the_same_bytes_hold_nearly_twice_the_clips(pretraining: Any, clips: Any) -> None:
    held = {}
    for cls in (AVCL, AVCLPlus):
        strategy = pretraining(cls(capacity="200kB", chunk=2))
        for seed in range(10):
            strategy.step(clips(4, seed))
        assert strategy.method.memory.nbytes <= 200_000
        held[cls] = len(strategy.method.memory)
    # Queries and features are stored whole beside either.
    assert 1.3 < held[AVCLPlus] / held[AVCL] < 2


def test_the_first_batch_is_its_core_half(pretraining: Any, clips: Any) -> None:
    one, other = pretraining(plus()), pretraining(AVCL(capacity=50, chunk=2))
    assert one.step(clips(4)).item() == other.step(clips(4)).item()
    assert torch.equal(one.mbatch.video_positions, other.mbatch.video_positions)
