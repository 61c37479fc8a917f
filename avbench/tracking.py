"""What a run logs while it goes: losses and throughput over optimiser steps, scores and memory of each stage.

Values are taken from what the run has found (`avbench.findings`), so they are those that its record will
have; where they go is in `avbench.loggers`. They stand at the number of optimiser steps taken so far, over
the whole stream. Logging changes no result, and is no part of what a run is: it is neither in the
configuration nor in the identity.

A logger that fails in mid-run, on a full disk for instance, is given up and the run goes on: that is said at
once, and the record keeps it as a note. One that cannot start ends the run before anything is trained.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from avbench.evaluation import StageScores
from avbench.findings import Findings
from avbench.forgetting import average_accuracy, forgetting
from avbench.loggers import Kind, OpenLogger, open_loggers
from avbench.records import DIRECTIONS, METRICS
from avbench.steps import StepReport

EVERY = 10
"""Optimiser steps between two lines of loss and throughput."""


class Tracking:
    """Logs a run. As a context manager it closes the logs, however the run ends.

    Args:
        kinds: from `avbench.loggers.check_kinds`; none logs nothing.
        folder: of this run's logs, `avbench.record_files.log_folder`.
        header: the fields of its record that are known before it.
        findings: what it finds.
        warn: is told once of each logger that fails.
        every: optimiser steps between two lines of loss and throughput.

    Attributes:
        step: optimiser steps taken so far.
    """

    def __init__(
        self,
        kinds: Sequence[Kind],
        folder: Path,
        header: Mapping[str, Any],
        findings: Findings,
        *,
        warn: Callable[[str], None],
        every: int = EVERY,
    ) -> None:
        self.step = 0
        self._kinds, self._folder, self._header = kinds, folder, header
        self._loggers: list[OpenLogger] = []
        self._tasks: list[str] = list(header["tasks"])
        self._findings = findings
        self._warn = warn
        self._every = every
        self._clips, self._seconds = 0, 0.0

    def start(self, *, at_step: int = 0) -> None:
        """Open the loggers of a run that begins, or of one that goes on from a checkpoint.

        Args:
            at_step: optimiser steps taken before the checkpoint, whose findings there are; 0 starts the logs
                over.

        Raises:
            InputError: a logger cannot start.
        """
        self.step = at_step
        self._loggers = open_loggers(self._kinds, self._folder, self._header, at_step=at_step)

    def __enter__(self) -> Tracking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(finished=error is None)

    def on_step(self, report: StepReport) -> None:
        """Log an optimiser step that findings know of: every `every` steps, and at the end of an epoch.

        The losses, what is minimised and its parts (`avbench.steps.LOSSES`), are those of this very step, so
        that a resumed run logs the same; the epoch's are means.
        """
        self.step += 1
        self._clips += report.clips
        self._seconds += report.seconds
        values: dict[str, float] = {}
        if self.step % self._every == 0:
            values |= {f"{name}/step": value for name, value in report.losses.items()}
            values["throughput/clips per second"] = self._clips / self._seconds
            self._clips, self._seconds = 0, 0.0
        if report.step + 1 == report.steps:
            means = self._findings.mean_losses(report.task, report.epoch)
            values |= {f"{name}/epoch mean": value for name, value in means.items()}
        self._log(values)

    def on_start(self) -> None:
        """Log the scores before any training; nothing for a run that goes on from a later step."""
        if self.step == 0 and self._findings.at_start is not None:
            self._log(dict(self._scores(self._findings.at_start)))

    def on_stage(self) -> None:
        """Log the last finished stage: its scores, A and F up to it, memory, and throughput so far."""
        findings = self._findings
        rows = [scores for _, scores in findings.stages]
        values: dict[str, float] = {"stages/finished": len(rows), **dict(self._scores(rows[-1]))}
        # A stage trains the task it is called after, or all of them.
        learned = len(rows) if findings.stages[-1][0] in self._tasks else len(self._tasks)
        for direction in DIRECTIONS:
            for metric in METRICS:
                matrix = [row.recall[direction][metric][:learned] for row in rows]
                values[f"{direction} {metric}/A so far"] = average_accuracy(matrix)
                forgotten = forgetting(matrix) if len(rows) == learned else None
                if forgotten is not None:
                    values[f"{direction} {metric}/F so far"] = forgotten
        values |= {f"memory bytes/{kind}": size for kind, size in findings.memory}
        if findings.peak_step is not None:
            values["memory bytes/peak of a step"] = findings.peak_step
        if findings.clips_per_second is not None:
            values["throughput/clips per second so far"] = findings.clips_per_second
        self._log(values)

    def close(self, *, finished: bool) -> None:
        """Close the logs; nothing where that is done."""
        while self._loggers:
            each = self._loggers.pop()
            try:
                each.close(finished)
            except Exception as error:
                self._note(each, error)

    def leave(self) -> None:
        """Leave the logs open as they are, for want of time: all that was handed over is on disk."""
        self._loggers = []

    def _scores(self, scores: StageScores) -> Iterator[tuple[str, float]]:
        for direction in DIRECTIONS:
            for metric in METRICS:
                for task, value in zip(self._tasks, scores.recall[direction][metric], strict=True):
                    yield f"{direction} {metric}/{task}", value
        for task, value in zip(self._tasks, scores.modality_gap, strict=True):
            yield f"modality gap/{task}", value

    def _log(self, values: Mapping[str, float]) -> None:
        if not values:
            return
        for each in list(self._loggers):
            try:
                for name, value in values.items():
                    each.logger.log_single_metric(name, value, self.step)
                each.flush()
            except Exception as error:
                self._loggers.remove(each)
                self._note(each, error)
                with contextlib.suppress(Exception):  # it failed, and that is noted
                    each.close(False)

    def _note(self, logger: OpenLogger, error: Exception) -> None:
        note = (
            f"logging to {logger.kind} failed at optimiser step {self.step} and is not complete, "
            f"but this record is: {str(error) or type(error).__name__}"
        )
        self._findings.notes.append(note)
        self._warn(note)
