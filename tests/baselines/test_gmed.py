"""GMED: clips move along the stated gradient, are kept so, and step less the more often they moved."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from avbench.errors import InputError
from avbench.passes import masked_losses
from avbench.registry import catalogue
from avbench.virtual_step import virtual_step

GMED = catalogue("strategy").get("gmed").cls


def trained(pretraining: Any, clips: Any, **options: Any) -> Any:
    strategy = pretraining(GMED(**{"capacity": 50} | options))
    for seed in range(2):
        strategy.step(clips(4, seed))
    return strategy


def step_on(strategy: Any, incoming: Any) -> dict[str, torch.Tensor]:
    noise = strategy.model.draw_noise(incoming, strategy.method.generator("virtual step"))
    return virtual_step(strategy, incoming, noise)


@pytest.mark.parametrize("regulariser", [0.0, 0.05, 2.0])
def test_moves_along_the_stated_gradient(regulariser: float, pretraining: Any, clips: Any) -> None:
    """x + stride * d/dx [loss after the step - loss - regulariser * loss], by copies and a real step."""
    options = {"stride": 3.0, "regulariser": regulariser}
    strategy, again = (trained(pretraining, clips, **options) for _ in range(2))
    incoming = clips(3, 8).normalised()
    rehearsed = clips(3, 9).normalised().with_extras(edits=torch.zeros(3, dtype=torch.int32))
    edited = strategy.method.edited(strategy, rehearsed, step_on(strategy, incoming), 3)

    noise = again.model.draw_noise(rehearsed, again.method.generator("rehearsed"))
    step_noise = again.model.draw_noise(incoming, again.method.generator("virtual step"))
    model, optimiser = copy.deepcopy((again.model, again.optimizer))
    optimiser.zero_grad()
    masked_losses(again, incoming, step_noise, model=model).mean().backward()
    optimiser.step()
    clip = replace(
        rehearsed,
        video=rehearsed.video.clone().requires_grad_(),
        audio=rehearsed.audio.float().requires_grad_(),
    )
    own = masked_losses(again, clip, noise).mean()
    (masked_losses(again, clip, noise, model=model).mean() - own - regulariser * own).backward()
    for moved, start in ((edited.video, clip.video), (edited.audio, clip.audio)):
        assert start.grad is not None
        assert start.grad.abs().max() > 0
        torch.testing.assert_close(moved - start.detach(), 3.0 * start.grad, rtol=1e-3, atol=1e-6)


def test_edits_are_written_back_and_counted(pretraining: Any, clips: Any) -> None:
    strategy = trained(pretraining, clips, stride=5.0)
    held = strategy.method.memory.contents
    assert held["video"].dtype == torch.float16
    before, edits = held["video"].clone(), held["extra/edits"].clone()
    strategy.step(clips(3, 5))
    held = strategy.method.memory.contents
    edited = (held["extra/edits"][:8] > edits).nonzero()[:, 0]
    assert len(edited) == 3
    rehearsed = {
        int(number): clip
        for number, clip in zip(strategy.mbatch.clip[3:], strategy.mbatch.video[3:], strict=True)
    }
    for slot in range(8):
        moved = not torch.equal(held["video"][slot], before[slot])
        assert moved == (slot in edited.tolist())
        if moved:
            wanted = rehearsed[int(held["clip"][slot])].detach().half()
            assert torch.equal(held["video"][slot], wanted)


def test_a_clip_edited_before_moves_less(pretraining: Any, clips: Any) -> None:
    distances = []
    for edits in (0, 2):
        strategy = trained(pretraining, clips, edit_decay=0.5)
        before = clips(2, 9).normalised()
        marked = before.with_extras(edits=torch.full((2,), edits, dtype=torch.int32))
        after_step = step_on(strategy, clips(2, 8).normalised())
        after = strategy.method.edited(strategy, marked, after_step, 2)
        assert after.extras["edits"].tolist() == [edits + 1] * 2
        distances.append((after.video - before.video).norm().item())
    assert distances[1] == pytest.approx(distances[0] / 4, rel=1e-3)


def test_leaves_model_and_optimiser_as_they_were(pretraining: Any, clips: Any) -> None:
    strategy = trained(pretraining, clips)
    held = [*strategy.model.parameters()]
    held += [parameter.grad for parameter in strategy.model.parameters()]
    held += [value for state in strategy.optimizer.state.values() for value in state.values()]
    before = [value.detach().clone() for value in held]
    marked = clips(2, 9).normalised().with_extras(edits=torch.zeros(2, dtype=torch.int32))
    strategy.method.edited(strategy, marked, step_on(strategy, clips(4, 2).normalised()), 2)
    assert all(torch.equal(old, new) for old, new in zip(before, held, strict=True))


@pytest.mark.parametrize("wrong", [{"stride": -1.0}, {"regulariser": float("nan")}, {"edit_decay": 0.0}])
def test_options_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        GMED(**wrong)
