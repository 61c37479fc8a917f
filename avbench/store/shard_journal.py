"""The journal of a shard: what became of each planned clip, one line a clip, each with its own checksum."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from avbench.errors import DataError
from avbench.store.layout import MEMBER, ClipEntry, tar_padding

Reason = Literal["missing file", "no audio track", "no video track", "undecodable", "too short", "silent"]


@dataclass(frozen=True)
class Outcome:
    """What became of one planned clip: kept, with the index rows of its members, or refused."""

    entry: ClipEntry
    rows: NDArray[np.void] | None = None
    reason: Reason | None = None
    detail: str = ""

    @property
    def end(self) -> int:
        """Where the clip's bytes end in the shard, with their padding."""
        if self.rows is None:
            return 0
        last = self.rows[-1]
        return int(last["offset"]) + int(last["length"]) + len(tar_padding(int(last["length"])))


def journal_path(shard: Path) -> Path:
    """Return the journal of a shard."""
    return shard.with_name(shard.name + ".journal")


def read_journal(shard: Path) -> list[Outcome]:
    """Return the outcomes in the journal of a complete shard; DataError if it is damaged."""
    path = journal_path(shard)
    outcomes = list(_journal_lines(path))
    if sum(length for _, length in outcomes) != path.stat().st_size:
        raise DataError(f"{path} is damaged: remove {shard} and it, and run the preparation again")
    return [outcome for outcome, _ in outcomes]


def journal_line(outcome: Outcome) -> bytes:
    """Return the line that notes an outcome: JSON, a tab, the xxh3-64 of the JSON."""
    entry = outcome.entry
    fields: dict[str, Any] = {"clip": [entry.key, entry.label, entry.split]}
    if outcome.rows is None:
        fields |= {"reason": outcome.reason, "detail": outcome.detail}
    else:
        fields["rows"] = base64.b64encode(outcome.rows.tobytes()).decode()
    text = json.dumps(fields).encode()
    return text + b"\t" + xxhash.xxh3_64_hexdigest(text).encode() + b"\n"


def _journal_lines(journal: Path) -> Iterator[tuple[Outcome, int]]:
    """Yield outcomes, with the bytes their lines take, up to the first line that is not whole."""
    with open(journal, "rb") as file:
        for line in file:
            text, _, checksum = line.rstrip(b"\n").partition(b"\t")
            if not line.endswith(b"\n") or xxhash.xxh3_64_hexdigest(text).encode() != checksum:
                return
            fields = json.loads(text)
            rows = None
            if "rows" in fields:
                rows = np.frombuffer(base64.b64decode(fields["rows"]), dtype=MEMBER)
            entry = ClipEntry(*fields["clip"])
            yield Outcome(entry, rows, fields.get("reason"), fields.get("detail", "")), len(line)


def whole_prefix(tar: Path, journal: Path) -> tuple[list[Outcome], int, int]:
    """Return the outcomes to go on from, and where the tar file and the journal are to be cut."""
    outcomes: list[Outcome] = []
    end = journal_end = 0
    with open(tar, "rb") as file:
        for outcome, length in _journal_lines(journal):
            if outcome.rows is not None:
                if not _bytes_are_there(file, outcome.rows):
                    break
                end = outcome.end
            outcomes.append(outcome)
            journal_end += length
    return outcomes, end, journal_end


def _bytes_are_there(file: BinaryIO, rows: NDArray[np.void]) -> bool:
    for row in rows:
        file.seek(int(row["offset"]))
        data = file.read(int(row["length"]))
        if len(data) != row["length"] or xxhash.xxh3_64_intdigest(data) != row["xxh3"]:
            return False
    return True
