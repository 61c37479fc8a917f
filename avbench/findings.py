"""What a run has found so far, and the record made of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
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
        losses: by stage and epoch: their sum and the number of steps.
        memory: bytes by kind.
        peak_step, peak_measured_by: of a training step.
        seconds: by phase; `stage_seconds` of training, by stage.
        clips_per_second: of training so far.
    """

    started: str = field(default_factory=now)
    evaluates_copy: bool = False
    at_start: StageScores | None = None
    stages: list[tuple[str, StageScores]] = field(default_factory=list)
    losses: dict[tuple[int, int], tuple[float, int]] = field(default_factory=dict)
    memory: list[tuple[str, int]] = field(default_factory=list)
    peak_step: int | None = None
    peak_measured_by: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    stage_seconds: list[float] = field(default_factory=list)
    clips_per_second: float | None = None

    def add_loss(self, stage: int, epoch: int, loss: float) -> None:
        """Count the loss of an optimiser step."""
        total, steps = self.losses.get((stage, epoch), (0.0, 0))
        self.losses[stage, epoch] = (total + loss, steps + 1)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the time of a `with` block to a phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - started

    @contextmanager
    def timed_stage(self) -> Iterator[None]:
        """Note the time of a `with` block as that of the next stage's training."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.stage_seconds.append(time.perf_counter() - started)


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
            EpochLosses(stage=stage, epoch=epoch, losses={"loss": total / steps})
            for (stage, epoch), (total, steps) in findings.losses.items()
        ],
        ending=ending,
        timing=Timing(
            started=findings.started,
            finished=now(),
            phases=findings.seconds,
            stages=findings.stage_seconds,
            clips_per_second=findings.clips_per_second,
        ),
    )
