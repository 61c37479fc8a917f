"""Measuring what a checkpoint costs: written to the disk that runs write to, and read again."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from avbench.backbone.sizes import BACKBONES
from avbench.bench import GEOMETRIES
from avbench.kept_state import rehearsal_memories
from avbench.method import Method
from avbench.resume.checkpointing import DEFAULT_MINUTES, LARGEST_SHARE
from avbench.resume.checkpoints import last_checkpoint, save_checkpoint
from avbench.resume.training_state import load_training_state, training_state
from avbench.settings import SETTINGS
from avbench.step_memory import made_up_clips, untrained_strategy


@dataclass(frozen=True)
class CheckpointCost:
    """One checkpoint of a method whose rehearsal memory is full.

    Attributes:
        backbone, strategy: what was measured.
        bytes: of the checkpoint.
        save_seconds, read_seconds: to write it, flushed to the disk; to read, check and load it.
        share: of a run's time at the default interval, 0 to 1, apart from the two at each task's end.
    """

    backbone: str
    strategy: str
    bytes: int
    save_seconds: float
    read_seconds: float
    share: float


def checkpoint_cost(
    strategy: str,
    make_method: Callable[[], Method],
    folder: Path,
    *,
    backbone: str,
    turns: int,
    device: torch.device | str = "cpu",
) -> CheckpointCost:
    """Write and read checkpoints of a method after a step, its memory full, in `folder`; medians of `turns`.

    Raises:
        DataError: one could not be written.
    """
    geometry, settings = GEOMETRIES[backbone], SETTINGS[backbone]
    training = untrained_strategy(make_method(), BACKBONES[backbone], geometry, settings, device)
    batch = made_up_clips(geometry, settings.batch_size, device)
    training.step(batch)
    for _, memory in rehearsal_memories(training.method):
        while len(memory) < memory.capacity:
            # What the method stores of a clip, over again.
            memory.add(memory.read(torch.arange(min(len(memory), memory.capacity - len(memory)))))
    saving, reading = [], []
    for _ in range(turns):
        began = time.perf_counter()
        path = save_checkpoint(folder, training_state(training), {})
        saved = time.perf_counter()
        found = last_checkpoint(folder, device=device, tell=print)
        assert found is not None
        load_training_state(training, found.state)
        saving.append(saved - began)
        reading.append(time.perf_counter() - saved)
    seconds = statistics.median(saving)
    return CheckpointCost(
        backbone=backbone,
        strategy=strategy,
        bytes=sum(file.stat().st_size for file in path.iterdir()),
        save_seconds=seconds,
        read_seconds=statistics.median(reading),
        share=seconds / max(60 * DEFAULT_MINUTES, seconds / LARGEST_SHARE),
    )
