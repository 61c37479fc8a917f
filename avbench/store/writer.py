"""Making a clip store: who may write it, in which shards, and when it is whole.

A folder becomes a store when its `index.json` appears; until then `preparation.json` says what is being
made. Whatever kills the process, at whatever moment, the same call again goes on where it stopped.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from avbench.errors import DataError, InputError
from avbench.store.index import PREPARATION, Plan, StoreSummary, finish_store, write_whole
from avbench.store.layout import SHARDS, ClipEntry, ClipFormat, is_store, shard_name
from avbench.store.shard_journal import read_journal
from avbench.store.shard_writer import EncodedClip, ShardWriter

LOCK = ".lock"


class StoreWriter:
    """Write a store clip by clip in one process; `avbench.store.building` does it in several.

    Used as a context manager; `finish` makes the store whole. Where a store was interrupted, `key in writer`
    says which clips are there already: clips must come in the same order again.

        with StoreWriter(path, format, "rendered", {"seed": 0}) as writer:
            for entry in entries:
                if entry.key not in writer:
                    writer.add(entry, jpegs, waveform, spectrogram)
            writer.finish()

    Raises:
        InputError: the folder holds a finished store or one begun with another plan, or another process
            is writing it.
    """

    def __init__(
        self, path: str | os.PathLike[str], format: ClipFormat, source: str, provenance: dict[str, Any]
    ) -> None:
        self.path = Path(path)
        self.plan = Plan(format, source, provenance)
        self._session = ExitStack()
        self._session.enter_context(preparing(self.path, self.plan))
        self._done: set[str] = set()
        self._number = 0
        if is_store(self.path):
            self._session.close()
            raise InputError(f"{self.path} is a finished store already: choose another folder or remove it")
        while (shard := self.path / SHARDS / shard_name(self._number)).exists():
            self._done |= {outcome.entry.key for outcome in read_journal(shard)}
            self._number += 1
        self._shard = self._open_shard()
        self._done |= set(self._shard.outcomes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._session.close()

    def __contains__(self, key: str) -> bool:
        return key in self._done

    def add(
        self,
        entry: ClipEntry,
        jpegs: Sequence[bytes],
        waveform: NDArray[np.int16],
        spectrogram: NDArray[np.float16],
    ) -> None:
        """Append a clip; InputError if its key is taken, ValueError if it is not of the store's format."""
        if entry.key in self._done:
            raise InputError(f"{self.path} has a clip {entry.key} already")
        if len(self._shard.outcomes) >= self.plan.clips_per_shard:
            self._shard.complete()
            self._number += 1
            self._shard = self._open_shard()
        self._shard.add(entry, EncodedClip(jpegs, waveform, spectrogram))
        self._done.add(entry.key)

    def finish(self) -> StoreSummary:
        """Write the index: the folder is a store from now on. DataError if no clip was added."""
        self._shard.complete()
        return finish_store(self.path, self.plan, self._number + 1)

    def _open_shard(self) -> ShardWriter:
        return self._session.enter_context(ShardWriter(self.path, self._number, self.plan.format))


@contextmanager
def preparing(path: Path, plan: Plan) -> Iterator[None]:
    """Hold a folder as the one process that makes a store there, with this plan.

    Raises:
        InputError: another process holds it, it holds something else, or was begun with another plan.
    """
    try:
        (path / SHARDS).mkdir(parents=True, exist_ok=True)
        # A lock of the operating system's: it goes when its process does, however that ends.
        lock = (path / LOCK).open("a+")
    except OSError as error:
        raise InputError(f"cannot write to {path}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip()
            raise InputError(
                f"{path} is being prepared by process {holder}: wait for it, or end it"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        if not is_store(path):
            _note_or_compare(path, plan)
        yield


def _note_or_compare(path: Path, plan: Plan) -> None:
    """Note the plan of a new preparation, or compare it with the one the folder was begun with."""
    file = path / PREPARATION
    wanted = json.loads(json.dumps(asdict(plan)))
    if not file.exists():
        if any((path / SHARDS).iterdir()):
            raise InputError(f"{path} holds shards but no {PREPARATION}: choose another folder or remove it")
        write_whole(file, json.dumps(wanted, indent=1).encode())
        return
    try:
        begun: dict[str, Any] = json.loads(file.read_bytes())
    except ValueError as error:
        raise DataError(f"{file} is damaged: remove {path} and start again") from error
    check_same_plan(path, begun, wanted)


def check_same_plan(path: Path, begun: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse a plan other than the one a store was begun with; InputError names what differs."""
    differing = [
        f"{name} was {begun.get(name)} and is now {wanted.get(name)}"
        for name in sorted(wanted.keys() | begun.keys())
        if wanted.get(name) != begun.get(name)
    ]
    if differing:
        raise InputError(
            f"{path} was begun as another store: {'; '.join(differing)}. "
            "Go on with the same, or choose another folder"
        )
