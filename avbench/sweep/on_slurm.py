"""A sweep on Slurm: a job array, through submitit; results lie on a shared disk.

A job that reaches its time limit, or is preempted, is put into the queue again by submitit and goes on from
its checkpoint. Needs `avbench[slurm]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avbench.errors import InputError, RunError
from avbench.sweep.state import RunState
from avbench.sweep.worker import RunOptions, make_run, settings_anywhere

# What submitit calls otherwise than sbatch does.
_NAMES = {"time": "timeout_min", "mem": "slurm_mem"}


class ArrayTask:
    """One run as a task of the array; submitit calls it, and asks it how to go on after a time limit."""

    def __call__(self, settings: dict[str, Any], results: str, log: str, options: RunOptions) -> str:
        """Make the run; return "" or why it failed. Slurm shows a failed run as a failed task."""
        why = make_run(settings, results, log, options)
        if why:
            raise RunError(why)
        return why

    def checkpoint(self, settings: dict[str, Any], results: str, log: str, options: RunOptions) -> Any:
        """Return what is submitted instead: the same again, which goes on."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, settings, results, log, options)


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
    """
    waiting = [each for each in states if each.state == "waiting"]
    if not waiting:
        return f"{len(states)} runs: nothing to submit"
    jobs = submit_array(
        waiting, results=results, threads=threads, settings=settings, options=options, cluster=cluster
    )
    first = str(jobs[0].job_id).partition("_")[0]
    return (
        f"{len(states)} runs, {len(jobs)} submitted as job {first}: squeue -j {first} shows them, "
        f"scancel {first} stops them. When they have ended, the same command submits what is left."
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
    """Submit runs as one job array; return submitit's jobs. For arguments and errors see `submit`."""
    try:
        import submitit
    except ImportError as error:
        raise InputError("--on slurm needs submitit: pip install 'avbench[slurm]'") from error
    on_gpu = any(each.run.plan.config.device.startswith("cuda") for each in waiting)
    given: dict[str, Any] = {"name": "avbench", "cpus_per_task": threads}
    if on_gpu:
        given["gpus_per_node"] = 1
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--slurm {text}: wanted key=value, such as partition=gpu")
        name = _NAMES.get(key, f"slurm_{key}")
        given[name] = int(value) if value.isdigit() else value
    try:
        executor = submitit.AutoExecutor(folder=results / "logs" / "slurm", cluster=cluster)
        executor.update_parameters(**given)
    # What submitit raises for no Slurm, and for a setting that it does not know.
    except (RuntimeError, TypeError, NameError, ValueError) as error:
        raise InputError(f"--on slurm: {error}") from error
    with executor.batch():
        return [
            executor.submit(
                ArrayTask(),
                settings_anywhere(each.run.settings),
                str(results.resolve()),
                str(each.log.resolve()),
                options,
            )
            for each in waiting
        ]
