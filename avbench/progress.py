"""How far a run is: bars on a terminal, one line an epoch elsewhere, so that logs stay readable."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:
    from avbench.steps import StepReport


@dataclass(frozen=True)
class StagePlan:
    """A stage to come: its name and the clips of one epoch."""

    name: str
    clips: int


class RunProgress:
    """Shows task, epoch, loss, clips per second and the time left over the whole run.

    Args:
        stages: what will be trained, in order.
        epochs: passes over each stage's clips.
        evaluations: how often retrieval will be measured; its time is in the time left.
        console: where to show it. On a terminal as bars, elsewhere as a line an epoch.
    """

    def __init__(
        self, stages: Sequence[StagePlan], *, epochs: int, evaluations: int, console: Console | None = None
    ) -> None:
        self.console = console or Console(stderr=True)
        self._stages = list(stages)
        self._total = epochs * sum(stage.clips for stage in stages)
        self._done = self._begun = 0
        self._training_seconds = 0.0
        self._evaluations_left = evaluations
        self._evaluation_seconds: list[float] = []
        self._epoch_losses: list[float] = []
        self._epoch_clips = 0
        self._epoch_seconds = 0.0
        self._bars: Progress | None = None
        self._run = self._epoch = TaskID(0)

    def __enter__(self) -> RunProgress:
        if self.console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
            )
            self._run = self._bars.add_task("run", total=self._total, note="")
            self._epoch = self._bars.add_task("measuring the start", total=None, note="")
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def on_step(self, report: StepReport) -> None:
        """Take an optimiser step into account."""
        if report.step == 0:
            self._epoch_losses, self._epoch_clips, self._epoch_seconds = [], 0, 0.0
        self._done += report.clips
        self._training_seconds += report.seconds
        self._epoch_losses.append(report.loss)
        self._epoch_clips += report.clips
        self._epoch_seconds += report.seconds
        stage = self._stages[report.task]
        where = (
            f"task {report.task + 1}/{len(self._stages)} {stage.name}, "
            f"epoch {report.epoch + 1}/{report.epochs}"
        )
        if self._bars is not None:
            self._bars.update(self._run, completed=self._done, note=f"{self.time_left()} left")
            self._bars.update(
                self._epoch,
                description=where,
                total=report.steps,
                completed=report.step + 1,
                note=f"loss {self._mean_loss():.3f}, {self._clips_per_second():.0f} clips/s",
            )
        elif report.step + 1 == report.steps:
            say(
                self.console,
                f"{where}: loss {self._mean_loss():.3f}, {self._clips_per_second():.0f} clips/s, "
                f"{100 * self._done / max(1, self._total):.0f}% done, {self.time_left()} left",
            )

    def go_on_after(self, clips: int, *, measured: int) -> None:
        """Count what earlier processes did of this run: clips trained on, and measurements of retrieval."""
        self._done = self._begun = clips
        self._evaluations_left -= measured

    def measuring(self, what: str) -> _Measuring:
        """Return a `with` block around one measurement of retrieval, which is timed and shown."""
        return _Measuring(self, what)

    def time_left(self) -> str:
        """Return the time left over the whole run as "m:ss", "?" before there is anything to go by."""
        if self._done == self._begun:
            return "?"
        seconds = (self._total - self._done) * self._training_seconds / (self._done - self._begun)
        if self._evaluation_seconds:
            each = sum(self._evaluation_seconds) / len(self._evaluation_seconds)
            seconds += self._evaluations_left * each
        return clock(seconds)

    def _mean_loss(self) -> float:
        return sum(self._epoch_losses) / len(self._epoch_losses)

    def _clips_per_second(self) -> float:
        return self._epoch_clips / self._epoch_seconds if self._epoch_seconds else 0.0

    def _measure_starts(self, what: str) -> None:
        if self._bars is not None:
            self._bars.update(self._epoch, description=f"retrieval {what}", total=None, note="")

    def _measure_ends(self, seconds: float) -> None:
        self._evaluation_seconds.append(seconds)
        self._evaluations_left -= 1


class _Measuring:
    def __init__(self, progress: RunProgress, what: str) -> None:
        self._progress, self._what = progress, what
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = time.perf_counter()
        self._progress._measure_starts(self._what)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress._measure_ends(time.perf_counter() - self._started)


def say(console: Console, sentence: str, style: str = "") -> None:
    """Show one line that stays."""
    console.print(Text(sentence, style=style), soft_wrap=True)


def clock(seconds: float) -> str:
    """Return seconds as "m:ss", or "h:mm:ss" from an hour on."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
