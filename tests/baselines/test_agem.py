"""A-GEM: nothing is projected where the gradients agree, and what is projected is orthogonal."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from avbench.kept_state import kept_tensors
from avbench.registry import catalogue

PLUGIN = catalogue("strategy").get("agem")
AGEM = PLUGIN.cls
project = importlib.import_module(PLUGIN.origin).project


def _vectors(*shapes: tuple[int, ...], seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def _dot(first: list[torch.Tensor], second: list[torch.Tensor]) -> float:
    return sum((a.double() * b.double()).sum().item() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_the_projection(seed: int) -> None:
    """Equation 11, on random vectors in parts; half of them agree with the reference."""
    gradients, reference = _vectors((3, 4), (5,), seed=seed), _vectors((3, 4), (5,), seed=100)
    if (_dot(gradients, reference) < 0) != bool(seed % 2):
        gradients = [-value for value in gradients]
    before = [value.clone() for value in gradients]
    project(gradients, reference)
    if seed % 2:
        share = _dot(before, reference) / _dot(reference, reference)
        for value, old, other in zip(gradients, before, reference, strict=True):
            torch.testing.assert_close(value, old - share * other)
        assert _dot(gradients, reference) == pytest.approx(0, abs=1e-5)
    else:
        assert all(torch.equal(value, old) for value, old in zip(gradients, before, strict=True))


def test_a_reference_of_zeros_changes_nothing() -> None:
    gradients = [torch.tensor([1.0, -2.0])]
    project(gradients, [torch.zeros(2)])
    assert gradients[0].tolist() == [1.0, -2.0]


@pytest.mark.parametrize("micro", [None, 2])
def test_a_step_cannot_go_against_rehearsed_clips(micro: int | None, pretraining: Any, clips: Any) -> None:
    """The reference is turned round, so that it is against the step: what is left is orthogonal."""
    strategy = pretraining(AGEM(capacity=50), micro_batch_size=micro)
    strategy.step(clips(4, 1))
    method, seen = strategy.method, []
    original = method._gradients

    def against(*given: Any) -> list[torch.Tensor]:
        seen.append([-value for value in original(*given)])
        rehearsed = given[1]
        assert sorted(rehearsed.clip.tolist()) == clips(4, 1).clip.tolist()
        seen.append([value.grad.clone() for value in strategy.model.parameters()])
        return seen[0]

    method._gradients = against
    strategy.step(clips(4, 1))
    reference, before = seen
    after = [value.grad for value in strategy.model.parameters()]
    scale = _dot(before, before) ** 0.5 * _dot(reference, reference) ** 0.5
    assert _dot(before, reference) < -0.1 * scale
    assert abs(_dot(after, reference)) < 1e-5 * scale


def test_the_reference_is_the_gradient_of_the_mean_loss(pretraining: Any, clips: Any) -> None:
    """In one pass over all clips it is what a step on them accumulates, with the same masks."""
    strategy = pretraining(AGEM())
    batch, method = clips(4, 1), strategy.method
    noise = strategy.model.draw_noise(batch, strategy.randomness.torch("copied"))
    strategy.model.draw_noise = lambda *given: noise
    parameters = dict(strategy.model.named_parameters())
    found = method._gradients(strategy, batch, parameters, len(batch))
    assert all(value.grad is None for value in parameters.values())
    strategy.step(batch)
    for gradient, value in zip(found, parameters.values(), strict=True):
        torch.testing.assert_close(gradient, value.grad, rtol=1e-4, atol=1e-6)


def test_the_first_step_is_plain_training(pretraining: Any, clips: Any) -> None:
    plain, projected = pretraining(catalogue("strategy").get("finetune").cls()), pretraining(AGEM())
    for strategy in (plain, projected):
        strategy.step(clips(4, 1))
    for own, other in zip(plain.model.parameters(), projected.model.parameters(), strict=True):
        assert torch.equal(own, other)


@pytest.mark.parametrize("micro", [None, 3])
def test_any_number_of_clips_and_the_same_bits_again(micro: int | None, pretraining: Any, clips: Any) -> None:
    losses = []
    for _ in range(2):
        strategy = pretraining(AGEM(capacity=6), micro_batch_size=micro)
        losses.append([strategy.step(clips(count, count)).item() for count in (1, 4, 3, 1)])
        assert strategy.method.memory.seen == 9
        assert {entry.kind for entry in kept_tensors(strategy.method)} == {"rehearsal memory"}
    assert losses[0] == losses[1]
