"""The index that turns complete shards into a store, and the report of what was not kept."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from avbench.errors import DataError, RunError
from avbench.files import folder_to_disk
from avbench.store.layout import (
    CLIPS,
    INDEX,
    MEMBERS,
    REPORT,
    SHARDS,
    STORE_VERSION,
    ClipFormat,
    Shard,
    header_checksum,
    shard_name,
    store_fingerprint,
)
from avbench.store.shard_journal import Outcome, read_journal

PREPARATION = "preparation.json"
CLIPS_PER_SHARD = 128


@dataclass(frozen=True)
class Plan:
    """What a store is to be: a preparation goes on only with the plan it was started with.

    Attributes:
        format, source, provenance: see `ClipStore`.
        clips_digest: of the clips planned, or "" where they are not known in advance.
        clips_per_shard: how many planned clips share a shard.
    """

    format: ClipFormat
    source: str
    provenance: dict[str, Any]
    clips_digest: str = ""
    clips_per_shard: int = CLIPS_PER_SHARD


@dataclass(frozen=True)
class StoreSummary:
    """How a preparation ended: clips kept, and clips refused by reason."""

    path: Path
    kept: int
    refused: dict[str, int]


def finish_store(path: Path, plan: Plan, shards: int) -> StoreSummary:
    """Write report and index over complete shards 0 .. shards - 1, and remove their journals.

    Raises:
        DataError: not one clip was kept. The report says why; shards and journals are removed, so that the
            next preparation starts anew.
    """
    outcomes: list[Outcome] = []
    listed: list[Shard] = []
    kept = 0
    for number in range(shards):
        shard = path / SHARDS / shard_name(number)
        listed.append(Shard(shard.name, kept, shard.stat().st_size))
        found = read_journal(shard)
        outcomes += found
        kept += sum(outcome.rows is not None for outcome in found)
    refused = [outcome for outcome in outcomes if outcome.rows is None]
    reasons = dict(Counter(str(outcome.reason) for outcome in refused).most_common())
    write_whole(path / REPORT, _report(refused))
    if kept == 0:
        _forget(path)
        why = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "none was given"
        raise DataError(f"not one of {len(outcomes)} clips could be kept ({why}); see {path / REPORT}")
    _write_index(path, plan, listed, [outcome for outcome in outcomes if outcome.rows is not None], reasons)
    tidy(path)
    return StoreSummary(path, kept, reasons)


def tidy(path: Path) -> None:
    """Remove what only an unfinished preparation needs; a killed one may have left it in a finished store."""
    for journal in (path / SHARDS).glob("*.journal"):
        journal.unlink()
    (path / PREPARATION).unlink(missing_ok=True)


def _write_index(
    path: Path, plan: Plan, shards: list[Shard], kept: list[Outcome], refused: dict[str, int]
) -> None:
    rows = [[outcome.entry.key, outcome.entry.label, outcome.entry.split] for outcome in kept]
    members = np.concatenate([outcome.rows for outcome in kept if outcome.rows is not None])
    clips = json.dumps(rows).encode()
    header: dict[str, Any] = {
        "version": STORE_VERSION,
        **asdict(plan),
        "fingerprint": store_fingerprint(plan.format, plan.source, rows, members),
        "refused": refused,
        "clips": len(rows),
        "shards": [asdict(shard) for shard in shards],
        "checksums": {
            CLIPS: xxhash.xxh3_128_hexdigest(clips),
            MEMBERS: xxhash.xxh3_128_hexdigest(members.tobytes()),
        },
    }
    header = json.loads(json.dumps(header))
    header["checksum"] = header_checksum(header)
    write_whole(path / CLIPS, clips)
    write_whole(path / MEMBERS, members.tobytes())
    # Last: with this file the folder becomes a store.
    write_whole(path / INDEX, json.dumps(header, indent=1).encode())


def _report(refused: list[Outcome]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["clip", "label", "split", "reason", "detail"])
    for outcome in refused:
        entry = outcome.entry
        table.writerow([entry.key, entry.label, entry.split, outcome.reason, outcome.detail])
    return text.getvalue().encode()


def _forget(path: Path) -> None:
    # Each shard before its journal: a journal alone is gone on with, a shard alone is not.
    for file in sorted((path / SHARDS).iterdir()):
        file.unlink()
    (path / PREPARATION).unlink()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside and rename it: it is there whole or not at all."""
    beside = path.with_name(path.name + ".partial")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        folder_to_disk(path.parent)
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror}; make room, then run the same again"
        ) from error
