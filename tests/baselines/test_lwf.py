"""LwF: the teacher is the model of the last task's end, and its answers on the same patches are kept."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from avbench.accounting import memory_account
from avbench.errors import InputError
from avbench.objectives import training_loss
from avbench.registry import catalogue

PLUGIN = catalogue("strategy").get("lwf")
LwF = PLUGIN.cls
distillation = importlib.import_module(PLUGIN.origin).distillation


def test_the_teacher_is_the_model_at_the_tasks_end(pretraining: Any, clips: Any, task: Any) -> None:
    strategy = pretraining(LwF())
    for seed in (1, 2):
        strategy.train(task([clips(4, seed), clips(1, seed + 10)]))
        at_end = {name: value.clone() for name, value in strategy.model.state_dict().items()}
        strategy.step(clips(4, 3))
        teacher = strategy.method.teacher
        assert all(torch.equal(value, at_end[name]) for name, value in teacher.state_dict().items())
        assert not any(value.requires_grad for value in teacher.parameters())
        assert not torch.equal(teacher.pos_embed_a, strategy.model.pos_embed_a)


def test_loss_is_the_cross_entropy_of_softened_features(pretraining: Any, clips: Any, task: Any) -> None:
    strategy = pretraining(LwF(weight=3.0, temperature=2.0))
    assert strategy.step(clips(4, 1)).item() == training_loss(strategy.mb_output).item()
    strategy.train(task([clips(4, 1)]))
    strategy.step(clips(4, 3))
    loss, *_, added = strategy.step_losses(clips(3, 2)).tolist()
    with torch.no_grad():
        wanted = strategy.method.teacher(strategy.mbatch, strategy.mb_noise)
    distance = torch.zeros(())
    for modality in ("audio_pooled", "video_pooled"):
        new = F.softmax(getattr(strategy.mb_output, modality) / 2, dim=1)
        old = F.softmax(getattr(wanted, modality) / 2, dim=1)
        cross_entropy = -(old * new.log()).sum(dim=1).mean()
        distance = distance + cross_entropy + (old * old.log()).sum(dim=1).mean()
    assert loss == pytest.approx((training_loss(strategy.mb_output) + 3 * distance).item(), rel=1e-5)
    assert loss > training_loss(strategy.mb_output).item()
    # The old answers' entropy is taken from the cross entropy here: what is left is rounded.
    assert added == pytest.approx(3 * distance.item(), abs=1e-6)
    assert added > 0


def test_distillation_by_hand() -> None:
    """Two classes at odds 3:1 against even odds, at temperature 1; and 0 where both are alike."""
    features, wanted = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 1.0]]).log()
    by_hand = 0.75 * torch.tensor(0.75 / 0.5).log() + 0.25 * torch.tensor(0.25 / 0.5).log()
    torch.testing.assert_close(distillation(features, wanted, 1.0), by_hand)
    torch.testing.assert_close(distillation(wanted + 5, wanted, 1.0), torch.tensor(0.0), atol=1e-6, rtol=0)
    # Twice the features at twice the temperature are the same softmax.
    torch.testing.assert_close(distillation(features, 2 * wanted, 2.0), by_hand)


@pytest.mark.parametrize("micro", [None, 3])
def test_any_number_of_clips_and_the_same_bits_again(
    micro: int | None, pretraining: Any, clips: Any, task: Any
) -> None:
    losses = []
    for _ in range(2):
        strategy = pretraining(LwF(), micro_batch_size=micro)
        for seed in (1, 2):
            strategy.train(task([clips(4, seed), clips(1, seed + 10)]))
        losses.append([report.loss for report in strategy.reports])
    assert losses[0] == losses[1]


def test_keeps_one_copy_of_the_model(pretraining: Any, clips: Any, task: Any) -> None:
    strategy = pretraining(LwF())
    for seed in (1, 2):
        strategy.train(task([clips(4, seed)]))
    account = memory_account(method=strategy.method, modules=[strategy.model], optimiser=strategy.optimizer)
    assert account.other_state == LwF.model_copies * account.parameters


@pytest.mark.parametrize("option", [{"weight": -1.0}, {"temperature": 0.0}])
def test_options_that_cannot_be_are_refused(option: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(option))):
        LwF(**option)
