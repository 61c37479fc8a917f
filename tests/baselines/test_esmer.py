"""ESMER: weights, what the memory refuses, and the running mean without outliers."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from avbench.errors import InputError
from avbench.objectives import clip_losses
from avbench.registry import catalogue

PLUGIN = catalogue("strategy").get("esmer")
ESMER = PLUGIN.cls
MODULE = importlib.import_module(PLUGIN.origin)


def test_a_clip_that_surprises_weighs_less() -> None:
    losses, usual = torch.tensor([1.0, 4.9, 5.1, 20.0]), torch.tensor(2.0)
    assert MODULE.surprising(losses, usual, 2.5).tolist() == [False, False, True, True]
    assert MODULE.clip_weights(losses, usual, 2.5).tolist() == pytest.approx([1.0, 1.0, 2.0 / 5.1, 0.1])
    # Before the first batch nothing is usual, and nothing surprises.
    assert MODULE.clip_weights(losses, torch.tensor(0.0), 2.5).tolist() == [1.0] * 4


def test_the_usual_loss_leaves_outliers_out() -> None:
    losses = torch.tensor([1.0, 2.0, 3.0, 30.0])  # mean 9, deviation 14.02
    assert MODULE.mean_without_outliers(losses, 1.0).item() == pytest.approx(2.0)
    assert MODULE.mean_without_outliers(losses, 2.0).item() == pytest.approx(9.0)
    assert MODULE.mean_without_outliers(torch.tensor([7.0]), 1.0).item() == 7.0


def surprised(strategy: Any) -> Any:
    """Make every second clip surprise from now on: its loss under the slow copy is a hundredfold."""
    original = MODULE.masked_losses

    def losses(*arguments: Any, **options: Any) -> torch.Tensor:
        found = original(*arguments, **options)
        return torch.where(torch.arange(len(found)) % 2 == 1, 100 * found, found)

    return original, losses


def test_surprising_clips_weigh_less_and_are_not_stored(
    pretraining: Any, clips: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = pretraining(ESMER(capacity=50, penalty=0.0))
    strategy.step(clips(4, 1))
    usual = strategy.method.usual_loss.item()
    assert usual > 0
    original, losses = surprised(strategy)
    monkeypatch.setattr(MODULE, "masked_losses", losses)
    seen = {}

    def before_backward(view: Any, **kwargs: Any) -> None:
        seen["losses"] = strategy.method.losses.clone()
        type(strategy.method).before_backward(strategy.method, view, **kwargs)

    monkeypatch.setattr(strategy.method, "before_backward", before_backward)
    loss = strategy.step(clips(4, 2)).item()
    assert strategy.method.memory.contents["clip"].tolist() == [1000, 1001, 1002, 1003, 2000, 2002]
    training = clip_losses(strategy.mb_output).detach()
    weights = torch.ones(8)
    weights[[1, 3]] = usual / seen["losses"][[1, 3]]
    assert weights[1] < 0.02
    assert loss == pytest.approx((weights * training).mean().item(), rel=1e-5)
    assert original is not losses


def test_rehearsed_features_are_pulled_to_the_slow_copy(pretraining: Any, clips: Any) -> None:
    strategy, again = (pretraining(ESMER(capacity=50, penalty=0.7, copy_rate=1.0)) for _ in range(2))
    strategy.step(clips(4, 1))
    again.step(clips(4, 1))
    loss = strategy.step(clips(3, 2)).item()
    rehearsed = strategy.mbatch[3:]
    noise = again.model.draw_noise(rehearsed, again.method.generator("features"))
    with torch.no_grad():
        wanted = again.method.slow.pooled(rehearsed, noise)
    output = strategy.mb_output
    distance = F.mse_loss(output.audio_pooled[3:], wanted.audio) + F.mse_loss(
        output.video_pooled[3:], wanted.video
    )
    expected = clip_losses(output).mean() + 0.7 * distance
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert strategy.method.losses is strategy.method.wanted is None


@pytest.mark.parametrize("evaluated", ["slow", "working"])
def test_what_is_evaluated(evaluated: str, pretraining: Any) -> None:
    strategy = pretraining(ESMER(evaluated=evaluated))
    wanted = strategy.method.slow if evaluated == "slow" else strategy.model
    assert strategy.method.evaluated_model(strategy.model) is wanted


@pytest.mark.parametrize("wrong", [{"penalty": -1.0}, {"margin": float("nan")}, {"copy_rate": 2.0}])
def test_options_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        ESMER(**wrong)
