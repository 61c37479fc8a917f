"""CaSSLe: a frozen model that stays frozen, and predictors that learn to find its features."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from avbench.accounting import memory_account
from avbench.errors import InputError
from avbench.objectives import training_loss
from avbench.randomness import Randomness
from avbench.registry import catalogue

PLUGIN = catalogue("strategy").get("cassle")
CaSSLe = PLUGIN.cls
MODULE = importlib.import_module(PLUGIN.origin)


def _parameters(method: Any) -> list[torch.Tensor]:
    return [value for each in method.predictors for value in each.parameters()]


def test_the_frozen_model_stays_and_the_predictors_learn(pretraining: Any, clips: Any, task: Any) -> None:
    strategy = pretraining(CaSSLe(hidden=64))
    method = strategy.method
    at_start = [value.detach().clone() for value in _parameters(method)]
    strategy.train(task([clips(4, 1)] * 2))
    # Nothing is distilled in the first task: the predictors stay as they were drawn.
    assert all(torch.equal(old, new) for old, new in zip(at_start, _parameters(method), strict=True))
    at_end = {name: value.clone() for name, value in strategy.model.state_dict().items()}

    distances = []
    for _ in range(30):
        loss = strategy.step(clips(4, 2))
        distances.append((loss - training_loss(strategy.mb_output)).item())
    assert all(torch.equal(value, at_end[name]) for name, value in method.teacher.state_dict().items())
    assert not torch.equal(method.teacher.pos_embed_a, strategy.model.pos_embed_a)
    assert all(not torch.equal(old, new) for old, new in zip(at_start, _parameters(method), strict=True))
    assert sum(distances[-5:]) < 0.5 * sum(distances[:5])


def test_loss_is_the_shared_one_and_the_distillation(pretraining: Any, clips: Any, task: Any) -> None:
    strategy = pretraining(CaSSLe(hidden=32, weight=2.0, temperature=0.5))
    assert strategy.step(clips(4, 1)).item() == training_loss(strategy.mb_output).item()
    strategy.train(task([clips(4, 1)]))
    predictors = [
        {name: value.detach().clone() for name, value in each.state_dict().items()}
        for each in strategy.method.predictors
    ]
    loss = strategy.step(clips(3, 2)).item()
    with torch.no_grad():
        frozen = strategy.method.teacher(strategy.mbatch, strategy.mb_noise)
        expected = training_loss(strategy.mb_output)
        for before, module, modality in zip(
            predictors, strategy.method.predictors, ("audio_pooled", "video_pooled"), strict=True
        ):
            predicted = torch.func.functional_call(module, before, getattr(strategy.mb_output, modality))
            expected += 2.0 * _by_loops(predicted, getattr(frozen, modality), 0.5)
    assert loss == pytest.approx(expected.item(), rel=1e-5)


def _by_loops(predicted: torch.Tensor, frozen: torch.Tensor, temperature: float) -> torch.Tensor:
    """Equation 5 clip by clip, and with the roles of both swapped."""
    total = torch.zeros(())
    for first, second in ((predicted, frozen), (frozen, predicted)):
        for clip, own in enumerate(first):
            cosines = torch.stack([torch.cosine_similarity(own, other, dim=0) for other in second])
            odds = (cosines / temperature).exp()
            total -= (odds[clip] / odds.sum()).log() / len(first) / 2
    return total


@pytest.mark.parametrize("count", [1, 5])
def test_distillation_against_plain_loops(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    predicted, frozen = (torch.randn(count, 7, generator=generator) for _ in range(2))
    found = MODULE.contrastive_distillation(predicted, frozen, 0.2)
    torch.testing.assert_close(found, _by_loops(predicted, frozen, 0.2), rtol=1e-5, atol=1e-6)


def test_predictors_follow_from_the_seed_alone(pretraining: Any) -> None:
    torch.manual_seed(1)
    first = _parameters(pretraining(CaSSLe(hidden=16)).method)
    torch.manual_seed(2)
    second = _parameters(pretraining(CaSSLe(hidden=16)).method)
    other = _parameters(pretraining(CaSSLe(hidden=16), seed=5).method)
    assert all(torch.equal(own, same) for own, same in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])
    made = MODULE.predictor(128, 16, Randomness(0).torch("method/predictor"))
    assert torch.equal(made[0].weight, first[0])
    assert made[0].weight.abs().max() <= 128**-0.5


def test_keeps_one_copy_and_the_predictors_and_gives_the_same_bits(
    pretraining: Any, clips: Any, task: Any
) -> None:
    losses = []
    for _ in range(2):
        strategy = pretraining(CaSSLe(hidden=16), micro_batch_size=3)
        for seed in (1, 2):
            strategy.train(task([clips(4, seed), clips(1, seed + 10)]))
        losses.append([report.loss for report in strategy.reports])
        account = memory_account(
            method=strategy.method, modules=[strategy.model], optimiser=strategy.optimizer
        )
        predictors = sum(value.nbytes for value in _parameters(strategy.method))
        # With the predictors' gradients.
        assert account.other_state == CaSSLe.model_copies * account.parameters + 2 * predictors
    assert losses[0] == losses[1]


@pytest.mark.parametrize("option", [{"weight": -1.0}, {"temperature": 0.0}, {"hidden": 0}])
def test_options_that_cannot_be_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(option))):
        CaSSLe(**option)
