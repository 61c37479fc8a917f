"""A virtual step: what the optimiser would do, and nothing done."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from avbench.errors import RunError
from avbench.method import Method
from avbench.passes import masked_losses
from avbench.virtual_step import stepped, virtual_step


def bits(strategy: Any) -> list[torch.Tensor]:
    """Copies of everything a virtual step must leave as it is: parameters, gradients, optimiser state."""
    held = list(strategy.model.parameters())
    held += [parameter.grad for parameter in strategy.model.parameters() if parameter.grad is not None]
    held += [value for state in strategy.optimizer.state.values() for value in state.values()]
    return [value.detach().clone() for value in held]


@pytest.mark.parametrize("steps_before", [0, 1, 3])
def test_is_the_step_that_the_optimiser_would_take(steps_before: int, pretraining: Any, clips: Any) -> None:
    strategy = pretraining(Method(), weight_decay=0.01)
    for seed in range(steps_before):
        strategy.step(clips(4, seed))
    batch = clips(4, 9)
    noise = strategy.model.draw_noise(batch, torch.Generator().manual_seed(0))
    before = bits(strategy)
    found = virtual_step(strategy, batch, noise)
    assert all(torch.equal(old, new) for old, new in zip(before, bits(strategy), strict=True))

    # By brute force: copies of model and optimiser, and a real step.
    model, optimiser = copy.deepcopy((strategy.model, strategy.optimizer))
    optimiser.zero_grad()
    strategy.model, original = model, strategy.model
    masked_losses(strategy, batch, noise).mean().backward()
    strategy.model = original
    optimiser.step()
    taken = dict(model.named_parameters())
    assert found.keys() == taken.keys()
    for name, value in found.items():
        # Adam's first step has length 1e-3 however small the gradient: where that is nearly 0, what the
        # last bit of a sum rounds to shows.
        torch.testing.assert_close(value, taken[name].detach(), rtol=1e-5, atol=5e-6)
        assert not value.requires_grad


def test_the_same_gradient_gives_the_same_step() -> None:
    parameters = [torch.nn.Parameter(torch.randn(50, generator=torch.Generator().manual_seed(0)).double())]
    optimiser = torch.optim.Adam(parameters, lr=0.1, betas=(0.8, 0.95), weight_decay=0.3)
    for number in range(4):
        gradient = torch.randn(50, generator=torch.Generator().manual_seed(number + 1)).double()
        wanted = stepped(optimiser, parameters[0], gradient)
        parameters[0].grad = gradient.clone()
        optimiser.step()
        torch.testing.assert_close(parameters[0].detach(), wanted, rtol=1e-12, atol=1e-12)


def test_says_what_it_cannot_step() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(RunError, match="AdamW is not known"):
        stepped(torch.optim.AdamW([parameter]), parameter, torch.ones(2))
    with pytest.raises(RunError, match="does not train"):
        stepped(torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]), parameter, torch.ones(2))
