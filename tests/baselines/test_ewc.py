"""EWC: the Fisher information of a case with a known answer, its running sum, and the pull to the anchor."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from avbench.accounting import memory_account
from avbench.errors import InputError, RunError
from avbench.objectives import training_loss
from avbench.passes import masked_losses, trained_parameters
from avbench.registry import catalogue

PLUGIN = catalogue("strategy").get("ewc")
EWC = PLUGIN.cls
diagonal_fisher = importlib.import_module(PLUGIN.origin).diagonal_fisher


def test_fisher_of_a_linear_model() -> None:
    """Loss (w.x + b - y)^2 / 2 has the gradient (w.x + b - y) x for w and (w.x + b - y) for b."""
    inputs = torch.tensor([[1.0, 2.0], [-1.0, 0.5], [3.0, 0.0]])
    targets = torch.tensor([1.0, -2.0, 0.5])
    parameters = {
        "weight": torch.tensor([0.5, -1.0], requires_grad=True),
        "bias": torch.tensor(0.25, requires_grad=True),
        "unused": torch.ones(2, requires_grad=True),
    }

    def losses_of(rows: slice) -> Any:
        predicted = inputs[rows] @ parameters["weight"] + parameters["bias"]
        return (predicted - targets[rows]).square() / 2

    found = diagonal_fisher(losses_of, parameters, [slice(0, 2), slice(2, 3)])
    # Residuals by hand: 0.5 - 2 + 0.25 - 1, -0.5 - 0.5 + 0.25 + 2, 1.5 + 0.25 - 0.5.
    residuals = torch.tensor([-2.25, 1.25, 1.25])
    torch.testing.assert_close(found["bias"], residuals.square().mean())
    torch.testing.assert_close(found["weight"], (residuals[:, None] * inputs).square().mean(dim=0))
    assert found["unused"].tolist() == [0.0, 0.0]
    assert parameters["weight"].grad is None
    assert not found["weight"].requires_grad


def test_no_clips_have_no_fisher() -> None:
    with pytest.raises(RunError, match="no clips"):
        diagonal_fisher(lambda batch: batch, {"w": torch.ones(1)}, [])


def test_fisher_of_a_task_is_that_of_its_clips_own_losses(pretraining: Any, clips: Any, task: Any) -> None:
    """Clip by clip, from graphs of their own, with the masks the method drew."""
    strategy = pretraining(EWC(fisher_clips=5), epochs=1)
    batch = clips(8, 1)
    strategy.train(task([batch[:3], batch[3:]]))
    generator = strategy.randomness.torch("method/masking").manual_seed(
        type(strategy.randomness)(0).torch("method/masking").initial_seed()
    )
    parameters = trained_parameters(strategy.model)
    squares = [torch.zeros_like(value) for value in parameters.values()]
    for part in (batch[:3], batch[3:5]):
        noise = strategy.model.draw_noise(part, generator)
        for clip in range(len(part)):
            loss = masked_losses(strategy, part, noise)[clip]
            for held, gradient in zip(
                squares, torch.autograd.grad(loss, list(parameters.values())), strict=True
            ):
                held.add_(gradient**2 / 5)
    for found, expected in zip(strategy.method.fisher.values(), squares, strict=True):
        torch.testing.assert_close(found, expected)


def test_fisher_of_later_tasks_is_added_to_the_decayed_one(pretraining: Any, clips: Any, task: Any) -> None:
    """With a step so small that nothing moves, each task's Fisher information can be had alone."""
    found = []
    for decay in (0.0, 0.5):
        strategy = pretraining(EWC(decay=decay), epochs=1, learning_rate=1e-20)
        for seed in (1, 2):
            strategy.train(task([clips(4, seed)]))
            found.append({name: value.clone() for name, value in strategy.method.fisher.items()})
    first, second, _, both = found
    for name, value in both.items():
        torch.testing.assert_close(value, second[name] + 0.5 * first[name])


def test_loss_is_the_shared_one_and_the_pull_to_the_anchor(pretraining: Any, clips: Any, task: Any) -> None:
    strategy = pretraining(EWC(strength=1e4), micro_batch_size=2)
    assert strategy.step(clips(2, 1)).item() == training_loss(strategy.mb_output).item()
    strategy.train(task([clips(4, 1)]))
    at_end = {name: value.detach().clone() for name, value in strategy.model.named_parameters()}
    assert all(torch.equal(value, at_end[name]) for name, value in strategy.method.anchor.items())
    strategy.step(clips(2, 2))
    parameters = {name: value.detach().clone() for name, value in strategy.model.named_parameters()}
    loss = strategy.step(clips(2, 3)).item()
    penalty = sum(
        (fisher * (parameters[name] - at_end[name]) ** 2).sum().item()
        for name, fisher in strategy.method.fisher.items()
    )
    assert penalty > 0
    assert loss == pytest.approx(training_loss(strategy.mb_output).item() + 1e4 / 2 * penalty, rel=1e-5)


def test_a_stronger_pull_keeps_what_matters_nearer(pretraining: Any, clips: Any, task: Any) -> None:
    distances = []
    for strength in (0.0, 1e6):
        strategy = pretraining(EWC(strength=strength))
        strategy.train(task([clips(4, 1)] * 3))
        anchor, fisher = dict(strategy.method.anchor), strategy.method.fisher
        strategy.train(task([clips(4, 2)] * 3))
        distances.append(
            sum(
                (fisher[name] * (value - anchor[name]) ** 2).sum().item()
                for name, value in strategy.model.named_parameters()
            )
        )
    assert distances[1] < distances[0] / 2


def test_the_order_of_later_clips_stays(pretraining: Any, clips: Any, task: Any) -> None:
    class Shuffled(list):
        """A loader that draws from the run's generator, as the real one does."""

        def __iter__(self) -> Any:
            torch.randperm(5, generator=strategy.randomness.torch("shuffle"))
            return super().__iter__()

    strategy = pretraining(EWC(), epochs=2)
    strategy.train(task(Shuffled([clips(3)])))
    expected = type(strategy.randomness)(0).torch("shuffle")
    for _ in range(2):
        torch.randperm(5, generator=expected)
    assert torch.equal(strategy.randomness.torch("shuffle").get_state(), expected.get_state())


def test_keeps_two_copies_of_the_model_and_gives_the_same_bits(
    pretraining: Any, clips: Any, task: Any
) -> None:
    losses = []
    for _ in range(2):
        strategy = pretraining(EWC(), micro_batch_size=3)
        for seed in (1, 2):
            strategy.train(task([clips(4, seed), clips(1, seed + 10)]))
        losses.append([report.loss for report in strategy.reports])
        account = memory_account(
            method=strategy.method, modules=[strategy.model], optimiser=strategy.optimizer
        )
        assert account.other_state == EWC.model_copies * account.parameters
    assert losses[0] == losses[1]


@pytest.mark.parametrize("option", [{"strength": -1.0}, {"decay": 1.5}, {"fisher_clips": 0}])
def test_options_that_cannot_be_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(option))):
        EWC(**option)
