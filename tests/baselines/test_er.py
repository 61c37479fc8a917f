"""Experience replay: as many rehearsed clips as came in, never the ones that just came."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from avbench.objectives import training_loss
from avbench.registry import catalogue

ER = catalogue("strategy").get("er").cls


def test_rehearses_as_many_clips_as_came_in(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(ER(capacity=20))
    strategy.step(clips(4, 1))
    assert strategy.mbatch.clip.tolist() == clips(4, 1).clip.tolist()
    for seed, count in ((2, 3), (3, 1), (4, 4)):
        before = set(strategy.method.memory.contents["clip"].tolist())
        loss = strategy.step(clips(count, seed)).item()
        joined = strategy.mbatch
        assert len(joined) == 2 * count
        assert joined.clip[:count].tolist() == clips(count, seed).clip.tolist()
        assert set(joined.clip[count:].tolist()) <= before
        assert loss == training_loss(strategy.mb_output).item()


def test_what_was_stored_is_what_came_in(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(ER(capacity=20))
    batches = [clips(4, seed) for seed in range(3)]
    for batch in batches:
        strategy.step(batch)
    held = strategy.method.memory.contents
    assert torch.equal(held["video"], torch.cat([batch.video for batch in batches]))
    assert torch.equal(held["audio"], torch.cat([batch.audio for batch in batches]))


def test_is_a_file_of_at_most_40_lines() -> None:
    source = inspect.getsource(inspect.getmodule(ER))  # type: ignore[arg-type]
    assert len(source.splitlines()) <= 40
