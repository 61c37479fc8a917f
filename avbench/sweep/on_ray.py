"""A sweep on Ray: a local cluster, or the one that RAY_ADDRESS names; results lie on a shared disk.

A run whose worker or node is lost, or is asked to end, is tried again and goes on from its checkpoint. Needs
`avbench[ray]`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from avbench.devices import cores
from avbench.errors import InputError
from avbench.lock import is_held
from avbench.sweep.state import RunState, complete, last_line
from avbench.sweep.worker import RunOptions, make_run, settings_anywhere

RETRIES = 5
_LOOK_EVERY = 0.5


def run_on_ray(
    states: Sequence[RunState],
    *,
    results: Path,
    threads: int,
    jobs: int | None = None,
    options: RunOptions,
    watch: Callable[[Sequence[RunState]], None],
) -> None:
    """Make every run of `states` that waits, as Ray has room for it, and wait for all.

    Args:
        states: of a sweep; kept up to date.
        results: folder of all results, on a disk that all nodes share.
        threads: CPU cores of a run; a run on CUDA has a GPU as well.
        jobs: cores of a local cluster in runs; None for all of the machine. Not for an existing cluster.
        options: of every run.
        watch: is shown the states twice a second.

    Raises:
        InputError: Ray is not installed, its cluster cannot be reached, or has no node with room for a run.
    """
    ray = _ray()
    ours = not ray.is_initialized()
    if ours:
        # A machine with fewer cores than a run has threads makes one at a time.
        local = {"num_cpus": (jobs or max(1, cores() // threads)) * threads}
        try:
            ray.init(
                include_dashboard=False,
                log_to_driver=False,
                logging_level="error",
                **({} if "RAY_ADDRESS" in os.environ else local),
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(f"--on ray: no cluster (RAY_ADDRESS says which): {error}") from error
    pending: dict[Any, RunState] = {}
    try:
        _check_room(ray, states, threads)
        for task, state in _submitted(ray, states, results.resolve(), threads, options):
            pending[task] = state
        _wait(ray, states, pending, watch)
    finally:
        if ours:
            ray.shutdown()


def _check_room(ray: Any, states: Sequence[RunState], threads: int) -> None:
    """Raise InputError where no node can ever take a run: Ray would wait for one without a word."""
    waiting = [each for each in states if each.state == "waiting"]
    if not waiting:
        return
    gpus = max(_gpus(each) for each in waiting)
    nodes = [each["Resources"] for each in ray.nodes() if each["Alive"]]
    if not any(each.get("CPU", 0) >= threads and each.get("GPU", 0) >= gpus for each in nodes):
        raise InputError(
            f"--on ray: no node of the cluster has {threads} CPU cores"
            + (" and a GPU" if gpus else "")
            + " for a run; start one that has, or give fewer --threads, or --device cpu"
        )


def _gpus(state: RunState) -> int:
    return 1 if state.run.plan.config.device.startswith("cuda") else 0


def _submitted(
    ray: Any, states: Sequence[RunState], results: Path, threads: int, options: RunOptions
) -> Iterator[tuple[Any, RunState]]:
    for state in states:
        # One that another process makes is waited for there: its lock would refuse it.
        if state.state == "waiting":
            remote = ray.remote(num_cpus=threads, num_gpus=_gpus(state), max_retries=RETRIES)(_make_or_end)
            yield (
                remote.remote(
                    settings_anywhere(state.run.settings),
                    str(results),
                    str(state.log.resolve()),
                    options,
                ),
                state,
            )


def _make_or_end(settings: dict[str, Any], results: str, log: str, options: RunOptions) -> str:
    """Make a run in a worker, see `make_run`; a worker that is asked to end does so when the run is saved.

    For Ray it is a lost one then, whose run is tried again; an error would not be.
    """
    from avbench.experiment import RunInterruptedError

    try:
        return make_run(settings, results, log, options)
    except RunInterruptedError:
        # To Ray's own handler, which ends this worker.
        signal.raise_signal(signal.SIGTERM)
        raise


def _wait(
    ray: Any,
    states: Sequence[RunState],
    pending: dict[Any, RunState],
    watch: Callable[[Sequence[RunState]], None],
) -> None:
    while pending or any(each.state == "elsewhere" for each in states):
        done, _ = ray.wait(list(pending), timeout=_LOOK_EVERY) if pending else ([], [])
        for task in done:
            _settle(ray, task, pending.pop(task))
        for state in states:
            if state.state == "elsewhere" and not is_held(state.record):
                ended = complete(state.record)
                state.state = "done" if ended else "failed"
                state.note = "" if ended else "stopped elsewhere; goes on with the same command"
        for state in pending.values():
            state.state = "running" if is_held(state.record) else "waiting"
            state.note = last_line(state.log)
        watch(states)


def _settle(ray: Any, task: Any, state: RunState) -> None:
    try:
        why = ray.get(task)
    except ray.exceptions.RayError as error:
        why = f"lost {RETRIES + 1} times: {str(error).strip().splitlines()[0]}"
    # Asked before the record is: whoever holds it may finish it in between.
    held_elsewhere = is_held(state.record)
    if complete(state.record):
        state.state, state.note = "done", ""
    elif held_elsewhere:
        state.state, state.note = "elsewhere", ""
    else:
        why = why or f"there is no finished record at {state.record}: do all nodes share that folder?"
        state.state, state.note = "failed", why


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise InputError("--on ray needs Ray: pip install 'avbench[ray]'") from error
    return ray
