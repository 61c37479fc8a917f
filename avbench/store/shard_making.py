"""Making the clips of shards: one shard in this process, or many in several processes.

A worker process writes one shard at a time. It ends with the main process, however that ends; where it dies
of a decoder that crashed, the clip is refused and another process goes on with its shard.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

import torch

from avbench.errors import RunError
from avbench.store.layout import ClipEntry, ClipFormat
from avbench.store.shard_journal import Reason
from avbench.store.shard_writer import EncodedClip, ShardWriter


class ClipRefusedError(Exception):
    """Raised by a maker for a clip that cannot be kept: why, and what exactly was found."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason: Reason = reason
        self.detail = detail


# Makes one clip, or raises ClipRefusedError. Pickled to the processes: a module's function, or a partial of
# one.
Maker = Callable[[ClipEntry], EncodedClip]
# Called after every clip, also for those that an earlier attempt at the same store made.
Observer = Callable[["ClipDone"], None]

_DECODER_CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGILL)


@dataclass(frozen=True)
class ClipDone:
    """A clip that is kept or refused: its key, why it was refused, and whether it was so before."""

    key: str
    reason: Reason | None
    earlier: bool


@dataclass(frozen=True)
class ShardTask:
    """A shard to write: its number, its planned clips, and those at which a decoder crashed."""

    number: int
    entries: Sequence[ClipEntry]
    crashed: frozenset[str] = frozenset()


def write_shard(store: Path, task: ShardTask, make: Maker, format: ClipFormat) -> Iterator[ClipDone]:
    """Write one shard, yielding what becomes of each clip; those already in its journal come first."""
    with ShardWriter(store, task.number, format) as shard:
        for entry in task.entries:
            earlier = entry.key in shard.outcomes
            if not earlier:
                if entry.key in task.crashed:
                    shard.refuse(entry, "undecodable", "the decoder crashed")
                else:
                    try:
                        shard.add(entry, make(entry))
                    except ClipRefusedError as refusal:
                        shard.refuse(entry, refusal.reason, refusal.detail)
            yield ClipDone(entry.key, shard.outcomes[entry.key].reason, earlier)
        shard.complete()


class _Worker:
    """A process that writes shards, one at a time, and the clips it has told of in the present one."""

    def __init__(self, store: Path, make: Maker, format: ClipFormat) -> None:
        # Not a fork: a copy of a process whose torch has threads may hang.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, store, make, format), daemon=True)
        self.process.start()
        theirs.close()
        self.task = ShardTask(0, [])
        self.told: set[str] = set()

    def begin(self, task: ShardTask) -> None:
        self.task, self.told = task, set()
        try:
            self.connection.send(task)
        except BrokenPipeError:
            # It died while it started: the pipe says so when it is read.
            return

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


def make_shards(
    store: Path,
    tasks: Sequence[ShardTask],
    make: Maker,
    format: ClipFormat,
    *,
    workers: int,
    tell: Observer,
) -> None:
    """Write shards in `workers` processes.

    Raises:
        RunError: the disk is full, or a worker was killed.
        Exception: what a maker raised; the worker's traceback is a note on it.
    """
    waiting = list(reversed(tasks))
    # A shard that is gone on with after a crash tells of its clips anew.
    told: set[str] = set()
    with ExitStack() as stack:

        def start(task: ShardTask) -> _Worker:
            worker = _Worker(store, make, format)
            stack.callback(worker.stop)
            worker.begin(task)
            return worker

        busy = [start(waiting.pop()) for _ in range(min(workers, len(waiting)))]
        while busy:
            ready = wait([worker.connection for worker in busy])
            for worker in [worker for worker in busy if worker.connection in ready]:
                try:
                    message = worker.connection.recv()
                except (EOFError, ConnectionResetError):
                    busy.remove(worker)
                    busy.append(start(_after_crash(worker)))
                    continue
                if isinstance(message, Exception):
                    raise message
                if isinstance(message, ClipDone):
                    worker.told.add(message.key)
                    if message.key not in told:
                        tell(message)
                    told.add(message.key)
                elif waiting:
                    worker.begin(waiting.pop())
                else:
                    busy.remove(worker)


def _after_crash(worker: _Worker) -> ShardTask:
    """Return a dead worker's task without the clip that crashed its decoder; RunError if that was not it."""
    worker.process.join()
    code = worker.process.exitcode
    at = next((entry.key for entry in worker.task.entries if entry.key not in worker.told), None)
    if code not in _DECODER_CRASHES or at is None:
        raise RunError(
            f"a process that prepares clips died (exit code {code}; -9 is most often too little memory): "
            "run the same again to go on, with fewer workers if it was memory"
        )
    return replace(worker.task, crashed=worker.task.crashed | {at})


def _work(connection: Connection, store: Path, make: Maker, format: ClipFormat) -> None:
    """Write the shards that come through `connection`: all that a worker process does."""
    # Ctrl-C reaches all processes of a terminal; the main one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        while True:
            task = connection.recv()
            for done in write_shard(store, task, make, format):
                connection.send(done)
            connection.send(None)
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        connection.send(_sendable(error))


def _sendable(error: Exception) -> Exception:
    """Return an error that survives the way to the main process, with its traceback as a note."""
    error.add_note(f"in a process that prepares clips:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def _end_with_parent() -> None:
    """End this process when the main one is gone, killed for instance."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
