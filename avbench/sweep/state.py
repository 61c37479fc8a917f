"""How far a sweep is: the state of each run, read from its record, its lock and its log.

Nothing else is kept: a sweep that is started again, on this or another machine, finds out what is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avbench.errors import DataError
from avbench.lock import is_held
from avbench.record_files import read_record
from avbench.resume.checkpointing import checkpoint_folder
from avbench.resume.checkpoints import any_checkpoint
from avbench.sweep.plan import SweepRun

State = Literal["waiting", "queued", "running", "elsewhere", "done", "failed"]


@dataclass
class RunState:
    """One run of a sweep as it stands.

    Attributes:
        run: what it is.
        record, log: where its record and its messages are.
        state: "elsewhere" is a run that another process holds, "queued" one that Slurm has in its queue
            (`avbench.sweep.slurm_queue`), and is left to it.
        note: how far it is, or why it failed.
        record_before: when the record there was written as the run was started, in nanoseconds; None where
            there was none. One that is no newer tells of an earlier attempt.
    """

    run: SweepRun
    record: Path
    log: Path
    state: State = "waiting"
    note: str = ""
    record_before: int | None = None


def states_of(runs: list[SweepRun], results: Path) -> list[RunState]:
    """Return the runs with where each stands now: done, held by another process, or waiting.

    What failed or was stopped earlier waits: it is tried again.
    """
    found = []
    for run in runs:
        record = run.plan.record_path(results)
        log = results / "logs" / record.relative_to(results / "runs").with_suffix("") / "run.log"
        state = RunState(run, record, log)
        if complete(record):
            state.state = "done"
        elif is_held(record):
            state.state = "elsewhere"
        found.append(state)
    return found


def complete(record: Path) -> bool:
    """Return whether nothing of a run is left to do: its record is finished, and its exhibits are made.

    As long as they are not, the checkpoints are there from which they can be.
    """
    results = record.parents[3]
    if any_checkpoint(checkpoint_folder(results, record)):
        return False
    try:
        return record.exists() and read_record(record).finished
    except DataError:
        return False


def settle(state: RunState, exit_code: int) -> None:
    """Take into account that the process of a run has ended."""
    # Asked in this order: whoever holds it may finish it in between.
    held_elsewhere = is_held(state.record)
    if complete(state.record):
        state.state, state.note = "done", ""
    # Not where it was killed: then it is held by its own loader processes, which end a little later.
    elif exit_code > 0 and held_elsewhere:
        state.state, state.note = "elsewhere", ""
    else:
        state.state, state.note = "failed", why(state, exit_code)


def why(state: RunState, exit_code: int) -> str:
    """Return in a line why a run did not finish: its record's error, or how its process ended."""
    if written(state.record) != state.record_before:
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
    if exit_code == 0:
        return (
            f"its process ended well, but there is no finished record at {state.record}: was code, a plugin "
            "or the start changed meanwhile?"
        )
    return last_line(state.log) or f"its process ended with code {exit_code}"


def written(record: Path) -> int | None:
    """Return when a record was written, in nanoseconds; None where there is none."""
    return record.stat().st_mtime_ns if record.exists() else None


def last_line(log: Path) -> str:
    """Return the last line of a run's messages, "" where there are none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4000))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
