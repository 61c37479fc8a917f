"""How far a store is: a bar on a terminal, a line now and then elsewhere, so that logs stay readable."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from avbench.progress import clock

_LINE_SECONDS = 30.0


class ClipProgress:
    """Shows clips done, clips a second, time left, and how many clips were refused or damaged.

    The rate is over the clips of this session: those that an earlier one finished come in no time and are
    not counted in it.

    Args:
        title: what is being done.
        total: clips in all.
        bad: what to call a clip that is not whole: "refused", "damaged".
        console: where to show it.
    """

    def __init__(self, title: str, total: int, *, bad: str, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._title, self._total, self._bad_name = title, total, bad
        self._done = self._bad = self._earlier = 0
        self._started = self._told = time.monotonic()
        self._bars: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        self._started = self._told = time.monotonic()
        if self.console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                console=self.console,
            )
            self._task = self._bars.add_task(self._title, total=self._total, note="")
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def count(self, bad: bool, *, earlier: bool = False) -> None:
        """Take one clip into account; `earlier` if it was done before this session."""
        self._done += 1
        self._bad += bad
        self._earlier += earlier
        if self._bars is not None:
            self._bars.update(self._task, completed=self._done, note=self._note())
        elif time.monotonic() - self._told >= _LINE_SECONDS or self._done == self._total:
            self._told = time.monotonic()
            self.console.print(
                f"{self._title}: {self._done}/{self._total} clips, {self._note()}", soft_wrap=True
            )

    def _note(self) -> str:
        seconds = time.monotonic() - self._started
        made = self._done - self._earlier
        rate = made / seconds if made and seconds else 0.0
        left = clock((self._total - self._done) / rate) if rate else "?"
        return f"{rate:.1f} clips/s, {left} left, {self._bad} {self._bad_name}"
