"""What a sweep shows: the plan, the runs while they are made, and what is left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from avbench.progress import clock, say
from avbench.sweep.state import RunState, State

_STYLES = {
    "done": "green",
    "failed": "bold red",
    "running": "bold",
    "elsewhere": "cyan",
    "queued": "cyan",
    "waiting": "dim",
}
# On a terminal: so many waiting and finished runs beside those that are made.
_SHOWN = 6


def summary(states: Sequence[RunState]) -> str:
    """Return in a line how many runs are in which state."""
    counts = Counter(each.state for each in states)
    names: tuple[State, ...] = ("done", "running", "elsewhere", "queued", "waiting", "failed")
    return ", ".join(f"{counts[name]} {name}" for name in names if counts[name] or name in ("done", "failed"))


class SweepView:
    """Shows the runs of a sweep: a live table on a terminal, elsewhere a line where a state changes."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._began = time.monotonic()
        self._told: dict[Path, str] = {}
        self._live: Live | None = None

    def __enter__(self) -> SweepView:
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=2, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, states: Sequence[RunState]) -> None:
        """Show the states as they are now."""
        if self._live is not None:
            self._live.update(self._table(states))
            return
        for each in states:
            if self._told.get(each.record, "waiting") != each.state:
                note = f": {each.note}" if each.state in ("failed", "queued") else ""
                say(self.console, f"{each.state:9} {each.run.label}{note} ({summary(states)})")
            self._told[each.record] = each.state

    def _table(self, states: Sequence[RunState]) -> Table:
        made = [each for each in states if each.state == "done"]
        hidden = Counter[str]()
        table = Table(
            title=f"{summary(states)}; {clock(time.monotonic() - self._began)} so far",
            title_justify="left",
            box=None,
            show_header=False,
        )
        table.add_column("state")
        table.add_column("run", overflow="fold")
        table.add_column("how far", overflow="ellipsis", no_wrap=True)
        counts = Counter[str]()
        for each in states:
            counts[each.state] += 1
            place = counts[each.state]
            if each.state == "done":
                seen = place > len(made) - _SHOWN
            else:
                seen = each.state != "waiting" or place <= _SHOWN
            if seen:
                table.add_row(each.state, each.run.label, each.note, style=_STYLES[each.state])
            else:
                hidden[each.state] += 1
        for state, count in hidden.items():
            table.add_row(state, f"... and {count} more", "", style="dim")
        return table
