"""MIR: of the sampled clips, those whose loss a real step would raise most."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from avbench.errors import InputError
from avbench.passes import masked_losses
from avbench.registry import catalogue
from avbench.virtual_step import virtual_step

MIR = catalogue("strategy").get("mir").cls


def test_picks_the_clips_whose_loss_rises_most(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(MIR(capacity=50))
    for seed in range(3):
        strategy.step(clips(4, seed))
    incoming, candidates = clips(3, 8), clips(12, 9)
    step_noise = strategy.model.draw_noise(incoming, strategy.method.generator("virtual step"))
    after_step = virtual_step(strategy, incoming, step_noise)
    picked = strategy.method.most_interfered(strategy, candidates, after_step, 3)

    # By brute force: copies of model and optimiser, and a real step, with the same masks.
    again = pretraining(MIR(capacity=50))
    for seed in range(3):
        again.step(clips(4, seed))
    step_noise = again.model.draw_noise(incoming, again.method.generator("virtual step"))
    noise = again.model.draw_noise(candidates, again.method.generator("candidates"))
    model, optimiser = copy.deepcopy((again.model, again.optimizer))
    optimiser.zero_grad()
    masked_losses(again, incoming, step_noise, model=model).mean().backward()
    optimiser.step()
    with torch.no_grad():
        rise = masked_losses(again, candidates, noise, model=model) - masked_losses(again, candidates, noise)
    wanted = rise.argsort(descending=True)[:3]
    assert picked.clip.tolist() == candidates.clip[wanted].tolist()
    assert rise[wanted].min() > rise.median()


def test_rehearses_as_many_as_came_in_of_more_that_were_sampled(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(MIR(capacity=50, search_factor=2))
    for seed in range(4):
        strategy.step(clips(4, seed))
    sampled: list[int] = []
    sample = strategy.method.memory.sample
    strategy.method.memory.sample = lambda count: sampled.append(count) or sample(count)
    strategy.step(clips(4, 5))
    assert sampled == [8]
    assert len(strategy.mbatch) == 8


def test_leaves_model_and_optimiser_as_they_were(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(MIR(capacity=50))
    strategy.step(clips(4, 1))
    held = [*strategy.model.parameters()]
    held += [value for state in strategy.optimizer.state.values() for value in state.values()]
    before = [value.detach().clone() for value in held]
    strategy.mbatch = clips(4, 2)
    strategy.method.before_forward(strategy)
    assert len(strategy.mbatch) == 8
    assert all(torch.equal(old, new) for old, new in zip(before, held, strict=True))


def test_search_factor_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="search_factor=0"):
        MIR(search_factor=0)
