"""Which runs Slurm has in its queue: a run's job is written down beside its log, and squeue is asked for it.

A run whose job has not begun holds no lock, and nothing else tells it from one that was never submitted.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from avbench.errors import RunError
from avbench.files import write_text
from avbench.sweep.state import RunState

# Job (with its place in the array), state, and why it does not run yet.
_SQUEUE = ("squeue", "--noheader", "--array", "--format=%i|%T|%r")
_PATIENCE = 60


def write_job(state: RunState, job: str) -> None:
    """Write down that `state` was submitted as `job`, such as "1234_0".

    Raises:
        DataError: it could not be written.
    """
    write_text(_place(state), job, "the number of the job")


def mark_queued(states: Sequence[RunState]) -> None:
    """Make "queued" of every run that waits and whose job is in Slurm's queue: pending, running or ending.

    A run whose job has left the queue waits, as one that was never submitted does. Slurm is not asked where
    no run that waits was submitted.

    Raises:
        RunError: Slurm cannot be asked; all states are as they were.
    """
    submitted = [each for each in states if each.state == "waiting" and _place(each).exists()]
    if not submitted:
        return
    queue = _queue(submitted)
    for state in submitted:
        job = _place(state).read_text(encoding="utf-8").strip()
        if job in queue:
            state.state, state.note = "queued", f"job {job}: {queue[job]}"


def _place(state: RunState) -> Path:
    return state.log.with_name("slurm_job")


def _queue(submitted: Sequence[RunState]) -> dict[str, str]:
    """Return how every job in the queue stands, of all users: another one may have submitted a run."""
    try:
        done = subprocess.run(_SQUEUE, capture_output=True, text=True, timeout=_PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or str(error)
        raise RunError(
            f"Slurm cannot be asked which of {len(submitted)} submitted runs are still in its queue: "
            f"{told.strip()}; give the command where squeue works or, if none of them is queued, remove the "
            f"files {_place(submitted[0]).name} in the results' folder logs"
        ) from error
    found = {}
    for line in done.stdout.splitlines():
        job, state, reason = line.strip().split("|", 2)
        # Slurm writes "None" for a job that is not held up.
        found[job] = state.lower() + (f" ({reason})" if reason not in ("", "None") else "")
    return found
