"""Building a clip store from a list of clips, in several processes, so that it may be interrupted.

Clips are cut into shards in the order given, and each shard is written by one process: the store is the
same, to the byte, however many processes made it and however often they were stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import xxhash

from avbench.errors import InputError
from avbench.store.index import CLIPS_PER_SHARD, Plan, StoreSummary, finish_store, tidy
from avbench.store.layout import SHARDS, ClipEntry, ClipFormat, is_store, read_header, shard_name
from avbench.store.shard_journal import read_journal
from avbench.store.shard_making import (
    ClipDone,
    ClipRefusedError,
    Maker,
    Observer,
    ShardTask,
    make_shards,
    write_shard,
)
from avbench.store.writer import check_same_plan, preparing

__all__ = ["ClipDone", "ClipRefusedError", "Maker", "Observer", "build_store"]


def build_store(
    path: str | os.PathLike[str],
    entries: Sequence[ClipEntry],
    make: Maker,
    *,
    format: ClipFormat,
    source: str,
    provenance: dict[str, Any],
    workers: int = 1,
    clips_per_shard: int = CLIPS_PER_SHARD,
    observe: Observer | None = None,
) -> StoreSummary:
    """Make every clip of `entries` and write them to a store at `path`, or go on where that stopped.

    What was decided about a clip stays decided when a preparation goes on. Where the store is finished
    already and was planned alike, nothing is done.

    Args:
        path: the store's folder, made if it is not there.
        entries: the clips, with distinct keys; the store keeps their order.
        make: makes one clip.
        format, source, provenance: see `ClipStore`; a preparation goes on only with the same.
        workers: processes that make clips; 1 makes them in this one.
        clips_per_shard: planned clips that share a shard, the unit of parallel work.
        observe: told of every clip.

    Raises:
        InputError: two entries share a key; another process prepares this folder, or it was begun otherwise.
        DataError: not one clip could be kept.
        RunError: the disk is full, or a worker died. Run again to go on.
    """
    store = Path(path)
    _check_keys(entries)
    digest = xxhash.xxh3_128_hexdigest(json.dumps([[e.key, e.label, e.split] for e in entries]).encode())
    plan = Plan(format, source, provenance, digest, clips_per_shard)
    with preparing(store, plan):
        if is_store(store):
            return _finished(store, plan)
        shards = [
            ShardTask(number, entries[start : start + clips_per_shard])
            for number, start in enumerate(range(0, len(entries), clips_per_shard))
        ]
        tell = observe or (lambda done: None)
        ahead: list[ShardTask] = []
        for task in shards:
            shard = store / SHARDS / shard_name(task.number)
            if not shard.exists():
                ahead.append(task)
                continue
            for outcome in read_journal(shard):
                tell(ClipDone(outcome.entry.key, outcome.reason, earlier=True))
        if workers == 1:
            for task in ahead:
                for done in write_shard(store, task, make, format):
                    tell(done)
        else:
            make_shards(store, ahead, make, format, workers=workers, tell=tell)
        return finish_store(store, plan, len(shards))


def _check_keys(entries: Sequence[ClipEntry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.key in seen:
            raise InputError(f"two clips are called {entry.key}")
        seen.add(entry.key)
    if not entries:
        raise InputError("there are no clips to make a store of")


def _finished(store: Path, plan: Plan) -> StoreSummary:
    # Its clips are there: by which versions of which libraries they were made no longer matters.
    wanted = {name: value for name, value in asdict(plan).items() if name != "provenance"}
    header = read_header(store)
    check_same_plan(store, {name: header[name] for name in wanted}, wanted)
    tidy(store)
    return StoreSummary(store, header["clips"], header["refused"])
