"""CLS-ER: two averages of the model, and the pull to the one that tells the pair better."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from avbench.backbone import Tokens
from avbench.errors import InputError
from avbench.objectives import training_loss
from avbench.registry import catalogue

PLUGIN = catalogue("strategy").get("cls-er")
CLSER = PLUGIN.cls
MODULE = importlib.import_module(PLUGIN.origin)


def features(seed: int, clips: int = 5, width: int = 3) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    return Tokens(*(torch.randn(clips, width, generator=generator) for _ in range(2)))


def test_chooses_the_copy_that_scores_the_pair_higher() -> None:
    """Clip by clip with plain loops: softmax over the batch of cosine / 0.05."""
    stable, plastic = features(1), features(2)
    chosen = MODULE.better_features(stable, plastic)

    def probability(one: torch.Tensor, others: torch.Tensor, own: int) -> float:
        cosines = torch.stack([F.cosine_similarity(one, other, dim=0) for other in others])
        return float((cosines / 0.05).softmax(dim=0)[own])

    kept = set()
    for clip in range(5):
        by_sound = [probability(copy.audio[clip], copy.video, clip) for copy in (stable, plastic)]
        by_sight = [probability(copy.video[clip], copy.audio, clip) for copy in (stable, plastic)]
        video = stable if by_sound[0] > by_sound[1] else plastic
        audio = stable if by_sight[0] > by_sight[1] else plastic
        assert torch.equal(chosen.video[clip], video.video[clip])
        assert torch.equal(chosen.audio[clip], audio.audio[clip])
        kept |= {by_sound[0] > by_sound[1], by_sight[0] > by_sight[1]}
    assert kept == {True, False}  # both copies were chosen somewhere


def test_rehearsed_features_are_pulled_to_the_chosen(pretraining: Any, clips: Any) -> None:
    losses = {}
    for penalty in (0.0, 0.5):
        strategy = pretraining(CLSER(capacity=50, penalty=penalty, plastic_rate=1.0, stable_rate=0.3))
        assert strategy.step(clips(4, 1)).item() == training_loss(strategy.mb_output).item()
        method = strategy.method
        again = pretraining(CLSER(capacity=50, penalty=penalty, plastic_rate=1.0, stable_rate=0.3))
        again.step(clips(4, 1))
        losses[penalty] = strategy.step(clips(3, 2)).item()
        rehearsed = strategy.mbatch[3:]
        noise = again.model.draw_noise(rehearsed, again.method.generator("copies"))
        with torch.no_grad():
            wanted = MODULE.better_features(
                again.method.stable.pooled(rehearsed, noise), again.method.plastic.pooled(rehearsed, noise)
            )
        output = strategy.mb_output
        distance = F.mse_loss(output.audio_pooled[3:], wanted.audio)
        distance = distance + F.mse_loss(output.video_pooled[3:], wanted.video)
        assert losses[penalty] == pytest.approx((training_loss(output) + penalty * distance).item(), rel=1e-5)
        assert method.wanted is None
    assert losses[0.5] > losses[0.0]


def test_copies_move_at_their_own_pace(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(CLSER(capacity=50, plastic_rate=1.0, stable_rate=0.0, copy_decay=0.9))
    start = [value.clone() for value in strategy.model.parameters()]
    strategy.step(clips(4, 1))
    first = [value.detach().clone() for value in strategy.model.parameters()]
    strategy.step(clips(4, 2))
    for begun, one, now, plastic, stable in zip(
        start,
        first,
        strategy.model.parameters(),
        strategy.method.plastic.parameters(),
        strategy.method.stable.parameters(),
        strict=True,
    ):
        assert torch.equal(stable, begun)
        # Decays of 1 - 1/2 and 1 - 1/3, not yet 0.9.
        torch.testing.assert_close(plastic, (begun + one + now.detach()) / 3)


@pytest.mark.parametrize("evaluated", ["stable", "working"])
def test_what_is_evaluated(evaluated: str, pretraining: Any) -> None:
    strategy = pretraining(CLSER(evaluated=evaluated))
    wanted = strategy.method.stable if evaluated == "stable" else strategy.model
    assert strategy.method.evaluated_model(strategy.model) is wanted


@pytest.mark.parametrize("wrong", [{"penalty": -1.0}, {"plastic_rate": 1.5}, {"copy_decay": float("nan")}])
def test_options_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        CLSER(**wrong)
