"""Mod-X: rows of similarities, kept where the old model was right about the clip, and nowhere else."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from avbench.accounting import memory_account
from avbench.backbone import Tokens
from avbench.errors import InputError
from avbench.objectives import training_loss
from avbench.registry import catalogue

PLUGIN = catalogue("strategy").get("mod-x")
ModX = PLUGIN.cls
MODULE = importlib.import_module(PLUGIN.origin)


def _features(count: int, seed: int) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    return Tokens(*(torch.randn(count, 6, generator=generator) for _ in range(2)))


def _by_loops(old: Tokens, new: Tokens) -> tuple[float, int]:
    """The loss, and how many of the rows of both directions the old model is right about."""
    total, right = 0.0, 0
    for swap in (False, True):
        matrices = []
        for features in (old, new):
            first, second = (features.video, features.audio) if swap else features
            matrices.append(
                torch.stack(
                    [torch.stack([torch.cosine_similarity(a, b, dim=0) for b in second]) for a in first]
                )
            )
        for clip, (before, now) in enumerate(zip(*matrices, strict=True)):
            if before.argmax().item() != clip:
                continue
            right += 1
            wanted, found = before.softmax(dim=0), now.softmax(dim=0)
            total += (wanted * (wanted / found).log()).sum().item() / 2
    return total, right


def test_against_plain_loops() -> None:
    counts = []
    for seed in range(8):
        old, new = _features(4, seed), _features(4, seed + 100)
        expected, right = _by_loops(old, new)
        found = MODULE.off_diagonal_distillation(old, new)
        assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)
        counts.append(right)
    # The old model is right about some clips and errs about others.
    assert 0 < sum(counts) < 8 * 8


def test_rows_where_the_old_model_errs_add_nothing() -> None:
    """Taking every video for another clip gives neither loss nor gradient; being right gives both."""
    right = Tokens(torch.eye(3), torch.eye(3))
    wrong = Tokens(torch.eye(3), torch.eye(3).roll(1, dims=0))
    new = Tokens(*(part.requires_grad_() for part in _features(3, 7)))
    new = Tokens(new.audio[:, :3], new.video[:, :3])
    loss = MODULE.off_diagonal_distillation(wrong, new)
    assert loss.item() == 0
    gradients = torch.autograd.grad(loss, new)
    assert all(value.abs().max() < 1e-6 for value in gradients)
    loss = MODULE.off_diagonal_distillation(right, new)
    assert loss.item() > 0
    assert all(value.abs().max() > 1e-3 for value in torch.autograd.grad(loss, new))


def test_loss_is_the_shared_one_and_the_weighted_divergence(pretraining: Any, clips: Any, task: Any) -> None:
    strategy = pretraining(ModX(weight=7.0))
    assert strategy.step(clips(4, 1)).item() == training_loss(strategy.mb_output).item()
    strategy.train(task([clips(4, 1)] * 5))
    at_end = {name: value.clone() for name, value in strategy.model.state_dict().items()}
    for _ in range(3):
        loss = strategy.step(clips(4, 1)).item()
    teacher = strategy.method.teacher
    assert all(torch.equal(value, at_end[name]) for name, value in teacher.state_dict().items())
    with torch.no_grad():
        old = teacher.pooled(strategy.mbatch, strategy.mb_noise)
    new = Tokens(strategy.mb_output.audio_pooled, strategy.mb_output.video_pooled)
    expected, right = _by_loops(old, new)
    assert right > 0
    shared = training_loss(strategy.mb_output).item()
    assert loss == pytest.approx(shared + 7.0 * expected, rel=1e-5)


def test_keeps_one_copy_of_the_model_and_gives_the_same_bits(pretraining: Any, clips: Any, task: Any) -> None:
    losses = []
    for _ in range(2):
        strategy = pretraining(ModX(), micro_batch_size=3)
        for seed in (1, 2):
            strategy.train(task([clips(4, seed), clips(1, seed + 10)]))
        losses.append([report.loss for report in strategy.reports])
        account = memory_account(
            method=strategy.method, modules=[strategy.model], optimiser=strategy.optimizer
        )
        assert account.other_state == ModX.model_copies * account.parameters
    assert losses[0] == losses[1]


def test_a_weight_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="weight"):
        ModX(weight=-1.0)
