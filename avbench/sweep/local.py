"""A sweep on this machine: every run a process of its own, as many at a time as cores or GPUs allow.

A process that dies takes no other one with it. The sweep keeps no state: what is finished is known by its
record, what is stopped goes on from its checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import yaml

from avbench.errors import DataError, InputError
from avbench.files import write_text
from avbench.lock import is_held
from avbench.sweep.state import RunState, complete, last_line, settle, written
from avbench.sweep.worker import RunOptions

_LOOK_EVERY = 0.5


@dataclass
class Slots:
    """Where runs go: so many at a time, each on a GPU of its own where there are GPUs.

    Attributes:
        free: the slots that are free: a GPU, as CUDA_VISIBLE_DEVICES names it, or None for the CPU.
    """

    free: list[str | None] = field(default_factory=list)


@dataclass(frozen=True)
class _Process:
    state: RunState
    process: subprocess.Popen[bytes]
    slot: str | None


def run_here(
    states: Sequence[RunState],
    *,
    results: Path,
    slots: Slots,
    options: RunOptions,
    watch: Callable[[Sequence[RunState]], None],
) -> None:
    """Make every run of `states` that waits, and wait for those that are made elsewhere.

    Args:
        states: of a sweep; kept up to date.
        results: folder of all results.
        slots: where runs go.
        options: of every run.
        watch: is shown the states twice a second.

    Raises:
        KeyboardInterrupt: the user stopped the sweep; its runs were stopped, and have saved where they are.
            Whatever else ends it stops them as well.
    """
    running: list[_Process] = []
    try:
        while True:
            running = [each for each in running if not _ended(each, slots)]
            _start_waiting(states, running, slots, results, options)
            for each in running:
                each.state.note = last_line(each.state.log)
            watch(states)
            if not running and not any(each.state in ("waiting", "elsewhere") for each in states):
                return
            time.sleep(_LOOK_EVERY)
    except BaseException:
        for each in running:
            each.state.note = "stopping, when it has saved; one more Ctrl-C kills it"
        _stop(running, partial(watch, states))
        for each in running:
            _ended(each, slots)
            if each.state.state == "failed":
                each.state.state = "waiting"
        raise


def _start_waiting(
    states: Sequence[RunState], running: list[_Process], slots: Slots, results: Path, options: RunOptions
) -> None:
    for state in states:
        if state.state == "elsewhere" and not is_held(state.record):
            # It ended there, one way or the other; what is not finished is made here.
            state.state = "done" if complete(state.record) else "waiting"
        if state.state == "waiting" and slots.free:
            if is_held(state.record):
                state.state = "elsewhere"
                continue
            slot = slots.free.pop(0)
            state.record_before = written(state.record)
            try:
                running.append(_Process(state, _start(state, slot, results, options), slot))
            except (DataError, OSError) as error:
                slots.free.append(slot)
                state.state, state.note = "failed", f"it could not be started: {error}"
            else:
                state.state, state.note = "running", ""


def command_of(state: RunState, results: Path, options: RunOptions) -> list[str]:
    """Write the settings of a run beside its log, and return the command that makes it from them.

    Raises:
        DataError: they could not be written, for instance because the disk is full.
    """
    settings = state.log.with_name("run.yaml")
    write_text(settings, yaml.safe_dump(state.run.settings, sort_keys=False), "the settings")
    return [
        sys.executable, "-m", "avbench", "run", "--config", str(settings), "--results", str(results),
        "--no-report", *options.arguments(),
    ]  # fmt: skip


def _start(state: RunState, slot: str | None, results: Path, options: RunOptions) -> subprocess.Popen[bytes]:
    environment = dict(os.environ)
    # Settings are all in the file; a number of threads that is not set there is the configuration's.
    if slot is not None:
        environment["CUDA_VISIBLE_DEVICES"] = slot
    command = command_of(state, results, options)
    # Emptied, and appended to: the process of another sweep may write there until one of them is refused.
    with state.log.open("ab") as log:
        log.truncate(0)
        # A session of its own: Ctrl-C reaches the sweep alone, which then stops its runs.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def _ended(each: _Process, slots: Slots) -> bool:
    code = each.process.poll()
    if code is None:
        return False
    slots.free.append(each.slot)
    settle(each.state, code)
    return True


def _stop(running: Sequence[_Process], show: Callable[[], None]) -> None:
    """Ask all processes to stop, which they do when they have saved; a second Ctrl-C kills them."""
    # Not by SIGINT, which a process that a script started in the background ignores, and its children too.
    for each in running:
        each.process.terminate()
    try:
        with contextlib.suppress(Exception):  # what is shown may be what failed
            show()
        for each in running:
            each.process.wait()
    except KeyboardInterrupt:
        for each in running:
            each.process.kill()
            each.process.wait()


def default_slots(jobs: int | None, *, gpus: Sequence[str], cores: int, threads: int) -> Slots:
    """Return the slots of this machine.

    Args:
        jobs: how many runs at a time; None for one on each GPU, or one on each `threads` cores.
        gpus: that runs use, as CUDA_VISIBLE_DEVICES names them; none if they compute on the CPU.
        cores: of this machine.
        threads: of a run.

    Raises:
        InputError: `jobs` is less than 1.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs: {jobs} is less than 1")
    if gpus:
        count = len(gpus) if jobs is None else jobs
        return Slots([gpus[number % len(gpus)] for number in range(count)])
    return Slots([None] * (jobs or max(1, cores // threads)))
