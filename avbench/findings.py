"""What a run has found so far, and the record made of it."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from avbench.evaluation import StageScores
from avbench.forgetting import summarise
from avbench.records import (
    DIRECTIONS,
    METRICS,
    Direction,
    Ending,
    EpochLosses,
    KindOfMemory,
    Matrix,
    Memory,
    Metric,
    RunRecord,
    Summary,
    Timing,
)
from avbench.steps import StepReport

_STAGE = "stage "


def now() -> str:
    """Return the time, UTC, ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Findings:
    """What was measured of a run so far.

    Attributes:
        started: when it began.
        evaluates_copy: whether scores are those of a slow copy that the method keeps.
        at_start: scores before any training; None until measured.
        stages: name and scores of each stage, in order.
        losses: by stage and epoch: their sums by name (`avbench.steps.LOSSES`), and the number of steps.
        memory: bytes by kind.
        peak_step, peak_measured_by: of a training step.
        seconds: by phase; those of training also by stage, as "stage 0", "stage 1", ...
        clips_per_second: of training so far.
        resumed: when the run was continued after a stop.
        notes: what is said beside the results: see `avbench.records.RunRecord`.
    """

    started: str = field(default_factory=now)
    evaluates_copy: bool = False
    at_start: StageScores | None = None
    stages: list[tuple[str, StageScores]] = field(default_factory=list)
    losses: dict[tuple[int, int], tuple[dict[str, float], int]] = field(default_factory=dict)
    memory: list[tuple[str, int]] = field(default_factory=list)
    peak_step: int | None = None
    peak_measured_by: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    clips_per_second: float | None = None
    resumed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # Phases that are being timed: their names, and when they began.
    _running: dict[str, float] = field(default_factory=dict)

    def on_step(self, report: StepReport) -> None:
        """Count the losses of an optimiser step."""
        epoch = (report.task, report.epoch)
        sums, steps = self.losses.get(epoch, (dict.fromkeys(report.losses, 0.0), 0))
        self.losses[epoch] = ({name: sums[name] + report.losses[name] for name in sums}, steps + 1)

    def mean_losses(self, stage: int, epoch: int) -> dict[str, float]:
        """Return the means of an epoch's losses over its steps so far, by name."""
        sums, steps = self.losses[stage, epoch]
        return {name: value / steps for name, value in sums.items()}

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the time of a `with` block to a phase."""
        self._running[phase] = time.perf_counter()
        try:
            yield
        finally:
            began = self._running.pop(phase)
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - began

    @contextmanager
    def timed_stage(self, number: int) -> Iterator[None]:
        """Add the time of a `with` block to training, and to that of stage `number`."""
        with self.timed("train"), self.timed(f"{_STAGE}{number}"):
            yield

    def state(self) -> dict[str, Any]:
        """Return all of it as plain data, for a checkpoint; what is being timed counts until now."""
        now = time.perf_counter()
        seconds = dict(self.seconds)
        for phase, began in self._running.items():
            seconds[phase] = seconds.get(phase, 0.0) + now - began
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name[0] != "_"}
        return {
            **copy.deepcopy(plain),
            "seconds": seconds,
            "at_start": None if self.at_start is None else asdict(self.at_start),
            "stages": [(name, asdict(scores)) for name, scores in self.stages],
        }

    def go_on_from(self, state: Mapping[str, Any]) -> None:
        """Become the findings that `state` was returned by, with the time spent since added to theirs."""
        spent = self.seconds
        for name, value in copy.deepcopy(dict(state)).items():
            setattr(self, name, value)
        self.at_start = None if state["at_start"] is None else StageScores(**state["at_start"])
        self.stages = [(name, StageScores(**scores)) for name, scores in state["stages"]]
        # Checkpoints of earlier versions hold the sum of the loss alone, and their epochs end with that.
        self.losses = {
            epoch: (sums if isinstance(sums, dict) else {"loss": sums}, steps)
            for epoch, (sums, steps) in self.losses.items()
        }
        for phase, seconds in spent.items():
            self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds


def record_of(header: Mapping[str, Any], findings: Findings, ending: Ending) -> RunRecord:
    """Return the record of a run.

    Args:
        header: the fields of `RunRecord` that were known before it began.
        findings: what it found.
        ending: how it ended; A and F are computed for a finished run only.
    """
    rows = [scores for _, scores in findings.stages]
    recall: dict[Direction, dict[Metric, Matrix]] = {
        direction: {metric: [row.recall[direction][metric] for row in rows] for metric in METRICS}
        for direction in DIRECTIONS
    }
    summary: dict[Direction, dict[Metric, Summary]] = {}
    if ending.how == "finished":
        summary = {
            direction: {metric: summarise(matrix) for metric, matrix in of_metrics.items()}
            for direction, of_metrics in recall.items()
        }
    memory = None
    if findings.memory:
        memory = Memory(
            kinds=[KindOfMemory(kind=kind, bytes=size) for kind, size in findings.memory],
            peak_step=findings.peak_step,
            peak_measured_by=findings.peak_measured_by,
        )
    return RunRecord(
        **header,
        evaluates_copy=findings.evaluates_copy,
        stages=[name for name, _ in findings.stages],
        recall_at_start={} if findings.at_start is None else findings.at_start.recall,
        recall=recall,
        modality_gap=[row.modality_gap for row in rows],
        summary=summary,
        memory=memory,
        losses=[
            EpochLosses(stage=stage, epoch=epoch, losses=findings.mean_losses(stage, epoch))
            for stage, epoch in findings.losses
        ],
        ending=ending,
        notes=findings.notes,
        timing=Timing(
            started=findings.started,
            finished=now(),
            phases={name: spent for name, spent in findings.seconds.items() if _STAGE not in name},
            stages=[spent for name, spent in findings.seconds.items() if _STAGE in name],
            clips_per_second=findings.clips_per_second,
            resumed=findings.resumed,
        ),
    )
