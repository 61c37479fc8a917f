"""How far a sweep is: the state of each run, read from its record, its lock and its log.

Nothing else is kept: a sweep that is started again, on this or another machine, finds out what is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avbench.errors import DataError
from avbench.lock import is_held
from avbench.records import read_record
from avbench.sweep_plan import SweepRun

State = Literal["waiting", "running", "elsewhere", "done", "failed"]


@dataclass
class RunState:
    """One run of a sweep as it stands.

    Attributes:
        run: what it is.
        record, log: where its record and its messages are.
        state: "elsewhere" is a run that another process holds.
        note: how far it is, or why it failed.
    """

    run: SweepRun
    record: Path
    log: Path
    state: State = "waiting"
    note: str = ""


def states_of(runs: list[SweepRun], results: Path) -> list[RunState]:
    """Return the runs with where each stands now: done, held by another process, or waiting.

    What failed or was stopped earlier waits: it is tried again.
    """
    found = []
    for run in runs:
        record = run.plan.record_path(results)
        log = results / "logs" / record.relative_to(results / "runs").with_suffix("") / "run.log"
        state = RunState(run, record, log)
        if finished(record):
            state.state = "done"
        elif is_held(record):
            state.state = "elsewhere"
        found.append(state)
    return found


def finished(record: Path) -> bool:
    """Return whether a run's record says that it is finished; a damaged one does not."""
    try:
        return record.exists() and read_record(record).finished
    except DataError:
        return False


def settle(state: RunState, exit_code: int) -> None:
    """Take into account that the process of a run has ended."""
    if exit_code == 0 and finished(state.record):
        state.state, state.note = "done", ""
    elif exit_code != 0 and is_held(state.record):
        state.state, state.note = "elsewhere", ""
    else:
        state.state, state.note = "failed", why(state, exit_code)


def why(state: RunState, exit_code: int) -> str:
    """Return in a line why a run did not finish: its record's error, or how its process ended."""
    if state.record.exists():
        try:
            ending = read_record(state.record).ending
        except DataError as error:
            return str(error)
        if ending.how == "interrupted":
            return "stopped; goes on with the same command"
        if ending.error and exit_code > 0:
            return ending.error.strip().splitlines()[-1]
    if exit_code < 0:
        return f"its process was killed by signal {-exit_code}; goes on with the same command"
    return last_line(state.log) or f"its process ended with code {exit_code}"


def last_line(log: Path) -> str:
    """Return the last line of a run's messages, "" where there are none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4000))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
