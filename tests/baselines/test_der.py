"""DER: trains on incoming clips alone, and pulls rehearsed clips' features to those of their arrival."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from avbench.errors import InputError
from avbench.kept_state import kept_tensors
from avbench.objectives import training_loss
from avbench.registry import catalogue

DER = catalogue("strategy").get("der").cls


def test_features_are_those_of_arrival_and_stay(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(DER(capacity=50))
    strategy.step(clips(4, 1))
    audio, video = strategy.mb_output.audio_pooled, strategy.mb_output.video_pooled
    for seed in range(2, 5):
        strategy.step(clips(4, seed))
    held = strategy.method.memory.contents
    assert torch.equal(held["extra/audio_features"][:4], audio)
    assert torch.equal(held["extra/video_features"][:4], video)
    assert {entry.kind for entry in kept_tensors(strategy.method)} == {"rehearsal memory"}


@pytest.mark.parametrize("penalty", [0.5, 2.0])
def test_loss_is_that_of_incoming_clips_and_the_distance(
    penalty: float, pretraining: Any, clips: Any
) -> None:
    strategy = pretraining(DER(capacity=50, penalty=penalty))
    first = strategy.step(clips(4, 1)).item()
    assert first == training_loss(strategy.mb_output).item()

    drawn: list[Any] = []
    pooled = strategy.model.pooled

    def noted(batch: Any, noise: Any) -> Any:
        drawn.append((batch, pooled(batch, noise)))
        return drawn[-1][1]

    strategy.model.pooled = noted
    loss, *_, added = strategy.step_losses(clips(4, 2)).tolist()
    ((rehearsed, features),) = drawn
    assert len(strategy.mbatch) == 4
    assert sorted(rehearsed.clip.tolist()) == clips(4, 1).clip.tolist()
    expected = training_loss(strategy.mb_output)
    expected = expected + penalty * F.mse_loss(features.audio, rehearsed.extras["audio_features"])
    expected = expected + penalty * F.mse_loss(features.video, rehearsed.extras["video_features"])
    assert loss == pytest.approx(expected.item(), rel=1e-6)
    assert loss > training_loss(strategy.mb_output).item()
    assert added == pytest.approx((expected - training_loss(strategy.mb_output)).item(), rel=1e-4)


def test_rehearsal_does_not_change_the_masks_of_training(pretraining: Any, clips: Any) -> None:
    """With no weight on the penalty it is plain training, to the bit."""
    plain, rehearsing = (
        pretraining(catalogue("strategy").get("finetune").cls()),
        pretraining(DER(penalty=0.0)),
    )
    for seed in range(3):
        assert plain.step(clips(4, seed)).item() == rehearsing.step(clips(4, seed)).item()


@pytest.mark.parametrize("micro", [None, 3])
def test_any_number_of_clips_and_the_same_bits_again(micro: int | None, pretraining: Any, clips: Any) -> None:
    losses = []
    for _ in range(2):
        strategy = pretraining(DER(capacity=6), micro_batch_size=micro)
        losses.append([strategy.step(clips(count, count)).item() for count in (1, 4, 3, 1)])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("penalty", [-1.0, float("nan")])
def test_a_penalty_that_is_none_is_refused(penalty: float) -> None:
    with pytest.raises(InputError, match="penalty="):
        DER(penalty=penalty)
