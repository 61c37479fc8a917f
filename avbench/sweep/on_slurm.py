"""A sweep on Slurm: a job array, through submitit; results lie on a shared disk.

A job that reaches its time limit, or is preempted, is sent a signal before: it saves, is put into the queue
again by submitit, after a time limit three times at most, and goes on from there. Needs `avbench[slurm]`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from avbench.errors import DataError, InputError, RunError
from avbench.resume.interruption import Preemption
from avbench.sweep.slurm_queue import write_job
from avbench.sweep.state import RunState
from avbench.sweep.view import summary
from avbench.sweep.worker import RunOptions, make_run, settings_anywhere

# What submitit calls otherwise than sbatch does.
_NAMES = {"time": "timeout_min", "mem": "slurm_mem"}
# Seconds between Slurm's signal and its kill, where --slurm signal_delay_s does not say; and what of them is
# kept for leaving a record and being put into the queue.
_GRACE = 90
_AFTER_SAVING = 30


@dataclass(frozen=True)
class ArrayTask:
    """One run as a task of the array; submitit calls it, and asks it how to go on after a time limit.

    Attributes:
        grace: seconds between Slurm's signal and its kill.
    """

    grace: float = _GRACE

    def __call__(self, settings: dict[str, Any], results: str, log: str, options: RunOptions) -> str:
        """Make the run; return "" or why it failed. Slurm shows a failed run as a failed task.

        Raises:
            RunError: it failed.
            RunInterruptedError: someone stopped it otherwise than by Slurm's signal.
        """
        from submitit import JobEnvironment

        from avbench.experiment import RunPreemptedError

        number = signal.Signals[f"SIG{JobEnvironment.USR_SIG}"]
        preemption = Preemption(number, max(self.grace - _AFTER_SAVING, self.grace / 2))
        with _handled_by_this_process_only(number):
            try:
                why = make_run(settings, results, log, options, preemption=preemption)
            except RunPreemptedError:
                # Saved: now to submitit's handler, which puts the job into the queue and ends this process.
                signal.raise_signal(number)
                raise
        if why:
            raise RunError(why)
        return why

    def checkpoint(self, settings: dict[str, Any], results: str, log: str, options: RunOptions) -> Any:
        """Return what is submitted instead: the same again, which goes on."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, settings, results, log, options)


def minutes_of(text: str) -> int:
    """Return a time as sbatch has it in minutes, rounded up.

    Args:
        text: minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes or
            days-hours:minutes:seconds.

    Raises:
        InputError: it is none of these, or no time.
    """
    days, dash, rest = text.rpartition("-")
    parts = rest.split(":")
    if not all(part.isdigit() for part in (*parts, days or "0")) or len(parts) > 3 or (dash and not days):
        raise InputError(
            f"--slurm time={text}: wanted minutes, such as 600, hours:minutes:seconds, or days-hours"
        )
    numbers = [int(part) for part in parts]
    if dash:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:
        hours, (minutes, seconds) = 0, [*numbers, 0][:2]
    total = ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
    if not total:
        raise InputError(f"--slurm time={text}: that is no time")
    return -(-total // 60)


@contextmanager
def _handled_by_this_process_only(number: signal.Signals) -> Iterator[None]:
    """Keep processes forked from this one from handling a signal as it does: each would requeue the job."""
    handler, process = signal.getsignal(number), os.getpid()
    if not callable(handler):
        raise RunError(f"submitit does not handle {number.name} here: start the run as a job of submitit")
    taken = handler

    def in_this_process(received: int, frame: FrameType | None) -> None:
        if os.getpid() == process:
            taken(received, frame)

    signal.signal(number, in_this_process)
    try:
        yield
    finally:
        signal.signal(number, handler)


def submit(
    states: Sequence[RunState],
    *,
    results: Path,
    threads: int,
    settings: Sequence[str] = (),
    options: RunOptions,
    cluster: str = "slurm",
) -> str:
    """Submit every run of `states` that waits as one job array; return what to tell the user.

    Args:
        states: of a sweep.
        results: folder of all results, on a disk that all nodes share.
        threads: CPU cores of a run; a run on CUDA has a GPU as well.
        options: of every run.
        settings: of the jobs, as "key=value" with sbatch's names; time is in minutes.
        cluster: "slurm", or "local" for processes of this machine.

    Raises:
        InputError: submitit is not installed, there is no Slurm, or a setting is not known to it.
        RunError: Slurm refused the jobs, or has them and which they are could not be written down.
    """
    waiting = [each for each in states if each.state == "waiting"]
    if not waiting:
        return f"{len(states)} runs: nothing to submit ({summary(states)})"
    jobs = submit_array(
        waiting, results=results, threads=threads, settings=settings, options=options, cluster=cluster
    )
    first = str(jobs[0].job_id).partition("_")[0]
    return (
        f"{len(states)} runs, {len(jobs)} submitted as job {first} ({summary(states)}): "
        f"squeue -j {first} shows them, scancel {first} stops them. When they have ended, the same command "
        "submits what is left."
    )


def submit_array(
    waiting: Sequence[RunState],
    *,
    results: Path,
    threads: int,
    settings: Sequence[str],
    options: RunOptions,
    cluster: str,
) -> list[Any]:
    """Submit runs as one job array and write down which job each is; return submitit's jobs.

    For arguments and errors see `submit`.
    """
    try:
        import submitit
    except ImportError as error:
        raise InputError("--on slurm needs submitit: pip install 'avbench[slurm]'") from error
    on_gpu = any(each.run.plan.config.device.startswith("cuda") for each in waiting)
    given: dict[str, Any] = {
        "name": "avbench",
        "cpus_per_task": threads,
        "slurm_signal_delay_s": _GRACE,
        # Whatever the cluster's default: a preempted job is lost otherwise.
        "slurm_additional_parameters": {"requeue": True},
    }
    if on_gpu:
        given["gpus_per_node"] = 1
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--slurm {text}: wanted key=value, such as partition=gpu")
        name = _NAMES.get(key, f"slurm_{key}")
        given[name] = int(value) if value.isdigit() else value
        if key == "time":
            given[name] = minutes_of(value)
    if not isinstance(given["slurm_signal_delay_s"], int):
        raise InputError(f"--slurm signal_delay_s={given['slurm_signal_delay_s']}: wanted whole seconds")
    try:
        executor = submitit.AutoExecutor(folder=results / "logs" / "slurm", cluster=cluster)
        executor.update_parameters(**given)
    # What submitit raises for no Slurm, and for a setting that it does not know.
    except (RuntimeError, TypeError, NameError, ValueError, AssertionError) as error:
        raise InputError(f"--on slurm: {error}") from error
    if _NAMES["time"] not in given:
        # submitit's own default is five minutes, in which no run gets anywhere.
        raise InputError(
            "--on slurm: give --slurm time=..., how long a job may take: minutes, hours:minutes:seconds or "
            "days-hours; a run that takes longer goes on in another job"
        )
    try:
        with executor.batch():
            jobs = [
                executor.submit(
                    ArrayTask(given["slurm_signal_delay_s"]),
                    settings_anywhere(each.run.settings),
                    str(results.resolve()),
                    str(each.log.resolve()),
                    options,
                )
                for each in waiting
            ]
    # What submitit raises where sbatch fails, or says something else than a job's number.
    except RuntimeError as error:
        raise RunError(f"--on slurm: sbatch failed: {error}") from error
    for state, job in zip(waiting, jobs, strict=True):
        try:
            write_job(state, job.job_id)
        except DataError as error:
            raise RunError(
                f"{error}; the runs are submitted nevertheless: before the same command, which would submit "
                f"them a second time, scancel {job.job_id.partition('_')[0]}"
            ) from error
        state.state, state.note = "queued", f"job {job.job_id}"
    return jobs
