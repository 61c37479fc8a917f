"""Measuring what a checkpoint costs: written to the disk that runs write to, and read again.

What a run's checkpoints take of its time is counted up from a checkpoint and a step, both measured, for the
default stream at the backbone's settings. Assumed is that every step and every checkpoint of the run takes as
long as these; loading clips and measuring retrieval, which lengthen a run, are left out.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from avbench.backbone.sizes import BACKBONES
from avbench.bench import GEOMETRIES
from avbench.configuration import DEFAULTS
from avbench.kept_state import rehearsal_memories
from avbench.method import Method
from avbench.registry import catalogue
from avbench.rendered.store import clips_of_stream
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
        step_seconds: to train on a batch of the stream, with rehearsal.
        stream: the default one, which the run is taken to be on.
        tasks, training_seconds: of the run.
        checkpoints: of the run: two at each task's end, and those made on the way.
        share: of the seconds for all checkpoints in those of training.
    """

    backbone: str
    strategy: str
    bytes: int
    save_seconds: float
    read_seconds: float
    step_seconds: float
    stream: str
    tasks: int
    training_seconds: float
    checkpoints: int
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
    """Write and read checkpoints of a method in `folder`, a step before each, its memory full.

    Seconds are medians of `turns`.

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
    training.step(batch).item()  # the first to rehearse from it warms up
    stepping, saving, reading = [], [], []
    for _ in range(turns):
        before = time.perf_counter()
        training.step(batch).item()
        began = time.perf_counter()
        path = save_checkpoint(folder, training_state(training), {})
        saved = time.perf_counter()
        found = last_checkpoint(folder, device=device, tell=print)
        assert found is not None
        load_training_state(training, found.state)
        stepping.append(began - before)
        saving.append(saved - began)
        reading.append(time.perf_counter() - saved)
    seconds, step = statistics.median(saving), statistics.median(stepping)
    stream = str(DEFAULTS["scenario"])
    tasks = [
        step * settings.epochs * math.ceil(clips / settings.batch_size)
        for clips in _clips_of_tasks(stream, backbone)
    ]
    checkpoints = checkpoints_of(tasks, seconds)
    return CheckpointCost(
        backbone=backbone,
        strategy=strategy,
        bytes=sum(file.stat().st_size for file in path.iterdir()),
        save_seconds=seconds,
        read_seconds=statistics.median(reading),
        step_seconds=step,
        stream=stream,
        tasks=len(tasks),
        training_seconds=sum(tasks),
        checkpoints=checkpoints,
        share=checkpoints * seconds / sum(tasks),
    )


def checkpoints_of(tasks: Sequence[float], save_seconds: float) -> int:
    """Return how many checkpoints a run makes by default whose tasks take so many seconds to train.

    The interval begins anew with each (`avbench.resume.checkpointing.Checkpointer`).
    """
    interval = max(60 * DEFAULT_MINUTES, save_seconds / LARGEST_SHARE)
    return sum(2 + int(seconds // interval) for seconds in tasks)


def _clips_of_tasks(stream: str, backbone: str) -> list[int]:
    """Return how many clips each task trains on: rendered ones for `tiny`, all it takes for the others."""
    scenario = catalogue("scenario").get(stream).cls()
    each = scenario.training_clips_per_class
    if backbone == "tiny":
        each = clips_of_stream(stream, scenario).training_clips
    return [each * len(task.classes) for task in scenario.tasks()]
