"""SI: the path integral of a case with a known answer, the importance made of it, and the pull."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from avbench.accounting import memory_account
from avbench.errors import InputError
from avbench.objectives import training_loss
from avbench.registry import catalogue

PLUGIN = catalogue("strategy").get("si")
SI = PLUGIN.cls
consolidated = importlib.import_module(PLUGIN.origin).consolidated
CURVATURE = torch.tensor([1.0, 4.0, 0.0])


class _Point(nn.Module):
    """Three parameters in a bowl around the origin that is flat along the last."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))

    def loss(self) -> torch.Tensor:
        return (CURVATURE * self.place.square()).sum() / 2


def _descend(method: Any, strategy: Any, steps: int) -> None:
    """Train as the loop does, by the method's hooks."""
    for _ in range(steps):
        strategy.optimizer.zero_grad()
        strategy.loss = strategy.model.loss()
        method.before_backward(strategy)
        strategy.loss.backward()
        method.before_update(strategy)
        strategy.optimizer.step()
        method.after_update(strategy)


def _strategy(**optimiser: Any) -> Any:
    model = _Point()
    return SimpleNamespace(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), **optimiser),
        randomness=None,
        device=torch.device("cpu"),
    )


def test_shares_sum_to_the_fall_of_the_loss() -> None:
    """Plain descent in small steps, where the path integral is exact; each direction has its own share."""
    strategy, method = _strategy(lr=1e-4), SI()
    method.attach(strategy)
    before = strategy.model.place.detach().clone()
    _descend(method, strategy, 2000)
    after = strategy.model.place.detach()
    fall = CURVATURE * (before.square() - after.square()) / 2
    torch.testing.assert_close(method.share["place"], fall, rtol=1e-3, atol=1e-6)
    assert method.share["place"].sum().item() == pytest.approx(fall.sum().item(), rel=1e-3)


def test_movement_is_measured_and_the_penalty_left_out() -> None:
    """With momentum and a strong pull from the second task on, the shares are still of the task's loss."""
    strategy, method = _strategy(lr=1e-4, momentum=0.9), SI(strength=2.0, damping=0.5)
    method.attach(strategy)
    _descend(method, strategy, 300)
    method.after_training_exp(strategy)
    assert not method.share["place"].any()
    with torch.no_grad():
        strategy.model.place.add_(torch.tensor([0.5, 0.5, 0.5]))
    before = strategy.model.place.detach().clone()
    _descend(method, strategy, 300)
    after = strategy.model.place.detach()
    fall = CURVATURE * (before.square() - after.square()) / 2
    torch.testing.assert_close(method.share["place"], fall, rtol=2e-2, atol=1e-5)
    assert not method.before


def test_importance_by_hand() -> None:
    """0.2 + 0.3 / (2^2 + 1); 0 + 0.3 / (0 + 1); and 0.2 - 0.5 / (0 + 1), which is below 0."""
    found = consolidated(
        torch.tensor([0.2, 0.0, 0.2]),
        torch.tensor([0.3, 0.3, -0.5]),
        torch.tensor([-2.0, 0.0, 0.0]),
        1.0,
    )
    torch.testing.assert_close(found, torch.tensor([0.26, 0.3, 0.0]))


def test_a_tasks_end_adds_to_the_importance_and_moves_the_anchor() -> None:
    strategy, method = _strategy(lr=1e-3), SI(damping=0.01)
    method.attach(strategy)
    importance = torch.zeros(3)
    for _ in range(2):
        start = strategy.model.place.detach().clone()
        _descend(method, strategy, 100)
        share, end = method.share["place"].clone(), strategy.model.place.detach().clone()
        method.after_training_exp(strategy)
        importance = (importance + share / ((end - start) ** 2 + 0.01)).clamp(min=0)
        torch.testing.assert_close(method.importance["place"], importance)
        assert torch.equal(method.anchor["place"], end)
    assert method.importance["place"][2] == 0


def test_loss_is_the_shared_one_and_the_pull_to_the_anchor(pretraining: Any, clips: Any, task: Any) -> None:
    strategy = pretraining(SI(strength=5.0), micro_batch_size=2)
    assert strategy.step(clips(2, 1)).item() == training_loss(strategy.mb_output).item()
    strategy.train(task([clips(4, 1)]))
    at_end = {name: value.detach().clone() for name, value in strategy.model.named_parameters()}
    strategy.step(clips(2, 2))
    parameters = {name: value.detach().clone() for name, value in strategy.model.named_parameters()}
    loss = strategy.step(clips(2, 3)).item()
    penalty = sum(
        (importance * (parameters[name] - at_end[name]) ** 2).sum().item()
        for name, importance in strategy.method.importance.items()
    )
    assert penalty > 0
    assert loss == pytest.approx(training_loss(strategy.mb_output).item() + 5.0 * penalty, rel=1e-5)


def test_keeps_three_copies_of_the_model_and_gives_the_same_bits(
    pretraining: Any, clips: Any, task: Any
) -> None:
    losses = []
    for _ in range(2):
        strategy = pretraining(SI(), micro_batch_size=3)
        for seed in (1, 2):
            strategy.train(task([clips(4, seed), clips(1, seed + 10)]))
        losses.append([report.loss for report in strategy.reports])
        account = memory_account(
            method=strategy.method, modules=[strategy.model], optimiser=strategy.optimizer
        )
        assert account.other_state == SI.model_copies * account.parameters
    assert losses[0] == losses[1]


@pytest.mark.parametrize("option", [{"strength": -1.0}, {"damping": 0.0}])
def test_options_that_cannot_be_are_refused(option: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(option))):
        SI(**option)
