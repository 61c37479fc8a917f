"""How long a planned run takes and how much disk its checkpoints need, before it is made.

Time is that of finished runs of the same kind where there are records; where there are none, two steps are
taken on made-up clips and counted up. Either is as rough as what else the machine does. Disk is counted.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from avbench.backbone.sizes import BACKBONES
from avbench.planning import PlannedRun
from avbench.records import PLACES_AND_SPEED, RunRecord
from avbench.rendered.cache import cache_folder
from avbench.rendered.store import SOURCE, clips_of_stream
from avbench.resume.checkpoints import KEPT
from avbench.step_memory import made_up_clips, step_memory, untrained_strategy
from avbench.store.reading import ClipStore, is_store

# Bytes of a rendered clip in its store, members and their headers: measured, 96 KB.
_RENDERED_CLIP = 96_000
_STEPS = 2


@dataclass(frozen=True)
class RunEstimate:
    """What a run will take.

    Attributes:
        seconds: from its start to its record.
        measured: whether `seconds` is that of finished runs of its kind, not of a few steps counted up.
        checkpoint_bytes: of all its checkpoints while it is made; they are removed at its end.
    """

    seconds: float
    measured: bool
    checkpoint_bytes: int


@dataclass
class Estimator:
    """Estimates runs one by one, and remembers what it measured.

    Attributes:
        records: finished runs to go by.
    """

    records: Sequence[RunRecord]
    _steps: dict[tuple[Any, ...], float] = field(default_factory=dict)
    _bytes: dict[tuple[Any, ...], int] = field(default_factory=dict)

    def of(self, run: PlannedRun) -> RunEstimate:
        """Return the estimate of `run`.

        Raises:
            RunError: its method cannot take a step.
        """
        alike = [
            sum(record.timing.phases.values())
            for record in self.records
            if record.finished
            and _kind(record.configuration, record.source) == _kind(run.config.recorded(), run.clips.source)
        ]
        seconds = statistics.median(alike) if alike else self._counted_up(run)
        return RunEstimate(seconds, bool(alike), self._checkpoints(run))

    def _counted_up(self, run: PlannedRun) -> float:
        settings = run.config.training()
        key = (run.method, settings, run.geometry, run.config.backbone, str(run.config.strategy_options))
        if key not in self._steps:
            self._steps[key] = _step_seconds(run)
        batches = math.ceil(training_clips(run) / settings.batch_size)
        return self._steps[key] * batches * settings.epochs

    def _checkpoints(self, run: PlannedRun) -> int:
        settings = run.config.training()
        key = (run.method, run.geometry, run.config.backbone, str(run.config.strategy_options))
        if key not in self._bytes:
            needed = step_memory(
                partial(run.method, **run.config.strategy_options),
                size=BACKBONES[run.config.backbone],
                geometry=run.geometry,
                settings=settings,
                fake=False,
            )
            kept = {"rehearsal memory", "other state", "parameters", "optimiser state"}
            self._bytes[key] = sum(size for kind, size in needed.account.kinds if kind in kept)
        return KEPT * self._bytes[key]


def _kind(configuration: Mapping[str, Any], source: str) -> tuple[str, str]:
    """Return what runs share that take about as long: all settings but seed and memory's size."""
    left_out = PLACES_AND_SPEED | {"seed", "memory"}
    shared = {key: value for key, value in configuration.items() if key not in left_out}
    options = dict(shared.get("strategy_options", {}))
    options.pop("capacity", None)
    shared["strategy_options"] = options
    return repr(sorted(shared.items(), key=lambda item: item[0])), source


def training_clips(run: PlannedRun) -> int:
    """Return how many clips of the stream a run trains on in one epoch of all tasks."""
    if run.clips.source == SOURCE and run.config.data is None:
        clips = clips_of_stream(run.config.scenario, run.scenario)
        return len(clips.designs) * clips.training_clips
    assert run.config.data is not None
    stream = run.scenario.build(ClipStore(run.config.data)).streams["train"]
    return sum(len(experience.dataset) for experience in stream)


def clips_to_render(runs: Sequence[PlannedRun]) -> int:
    """Return the bytes of the rendered clips that `runs` need and that are not in the cache."""
    missing: dict[Path, int] = {}
    for run in runs:
        if run.config.data is None:
            clips = clips_of_stream(run.config.scenario, run.scenario)
            folder = cache_folder() / clips.folder
            if not is_store(folder):
                missing[folder] = len(clips.entries()) * _RENDERED_CLIP
    return sum(missing.values())


def _step_seconds(run: PlannedRun) -> float:
    settings = run.config.training()
    strategy = untrained_strategy(
        run.method(**run.config.strategy_options),
        BACKBONES[run.config.backbone],
        run.geometry,
        settings,
        run.config.device,
        make_loader=lambda task: task.dataset,
    )
    batch = made_up_clips(run.geometry, settings.batch_size, run.config.device)
    strategy.step(batch).item()  # warms up, and fills a memory
    began = time.perf_counter()
    for _ in range(_STEPS):
        strategy.step(batch).item()
    return (time.perf_counter() - began) / _STEPS
