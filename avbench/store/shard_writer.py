"""Writing one shard of a clip store, so that it may be interrupted at any moment.

A shard is built as `clips-000000.tar.partial` beside a journal: one line a clip, kept or refused, each
with its own checksum, appended after the clip's bytes. A shard that was interrupted goes on after the last
clip whose journal line and bytes are both whole; the rest is cut off. A shard that is complete loses its
`.partial`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from avbench.errors import DataError, InputError, RunError
from avbench.files import folder_to_disk
from avbench.store.layout import (
    MEMBER,
    SHARDS,
    TAR_END,
    ClipEntry,
    ClipFormat,
    mel_header,
    member_names,
    shard_name,
    tar_header,
    tar_padding,
    wav_header,
)
from avbench.store.shard_journal import Outcome, Reason, journal_line, journal_path, whole_prefix

_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")
_LOCK_SECONDS = 30.0


@dataclass(frozen=True)
class EncodedClip:
    """A clip ready to be stored.

    Attributes:
        jpegs: the frames, `format.frames` of them.
        waveform: int16 (format.samples,).
        spectrogram: float16 (format.mel_frames, format.mel_bins), normalised.
    """

    jpegs: Sequence[bytes]
    waveform: NDArray[np.int16]
    spectrogram: NDArray[np.float16]


class ShardWriter:
    """The one writer of a shard; goes on where an interrupted one stopped.

    Attributes:
        outcomes: what is in the journal so far, by key and in order.

    Raises:
        RunError: the disk is full or fails; nothing half-written is taken for whole later.
        DataError: another process writes this shard.
    """

    def __init__(self, store: Path, number: int, format: ClipFormat) -> None:
        self.format = format
        self.path = store / SHARDS / shard_name(number)
        self._partial = self.path.with_name(self.path.name + ".partial")
        with _full_disk_is_an_error(self.path):
            self._journal = journal_path(self.path).open("ab")
            _lock(self._journal, self.path)
            self._tar = self._partial.open("ab")
            outcomes, end, journal_end = whole_prefix(self._partial, journal_path(self.path))
            self._tar.truncate(end)
            self._journal.truncate(journal_end)
        self.outcomes = {outcome.entry.key: outcome for outcome in outcomes}
        self._end = end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        # Unbuffered bytes of a clip that failed half-way are cut off when the shard is opened again.
        for file in (self._tar, self._journal):
            with contextlib.suppress(OSError):
                file.close()

    def add(self, entry: ClipEntry, clip: EncodedClip) -> None:
        """Append a clip; ValueError if it is not of the store's format."""
        parts = _parts(entry, clip, self.format)
        rows = np.zeros(len(parts), dtype=MEMBER)
        blocks: list[bytes] = []
        end = self._end
        for row, name, data in zip(rows, member_names(entry.key, self.format), parts, strict=True):
            row["offset"], row["length"] = end + 512, len(data)
            row["xxh3"] = xxhash.xxh3_64_intdigest(data)
            member = (tar_header(name, len(data)), data, tar_padding(len(data)))
            blocks += member
            end += sum(map(len, member))
        with _full_disk_is_an_error(self.path):
            self._tar.write(b"".join(blocks))
            self._tar.flush()
            self._note(Outcome(entry, rows))
        self._end = end

    def refuse(self, entry: ClipEntry, reason: Reason, detail: str) -> None:
        """Note that a planned clip is not kept, and why."""
        with _full_disk_is_an_error(self.path):
            self._note(Outcome(entry, reason=reason, detail=detail))

    def complete(self) -> None:
        """End the shard: from now on it is whole, and its journal says what is in it."""
        with _full_disk_is_an_error(self.path):
            self._tar.write(TAR_END)
            for file in (self._tar, self._journal):
                file.flush()
                os.fsync(file.fileno())
            os.replace(self._partial, self.path)
            folder_to_disk(self.path.parent)

    def _note(self, outcome: Outcome) -> None:
        self._journal.write(journal_line(outcome))
        self._journal.flush()
        self.outcomes[outcome.entry.key] = outcome


def _parts(entry: ClipEntry, clip: EncodedClip, format: ClipFormat) -> list[bytes]:
    """Return the bytes of a clip's members."""
    if not _KEY.fullmatch(entry.key):
        raise InputError(f"{entry.key!r} cannot name a clip: use up to 80 letters, digits, - and _")
    if len(clip.jpegs) != format.frames:
        raise ValueError(f"clip {entry.key} has {len(clip.jpegs)} frames, not {format.frames}")
    if clip.waveform.dtype != np.int16 or clip.waveform.shape != (format.samples,):
        raise ValueError(f"clip {entry.key}: waveform is {clip.waveform.dtype} {clip.waveform.shape}")
    shape = (format.mel_frames, format.mel_bins)
    if clip.spectrogram.dtype != np.float16 or clip.spectrogram.shape != shape:
        raise ValueError(
            f"clip {entry.key}: spectrogram is {clip.spectrogram.dtype} {clip.spectrogram.shape}"
        )
    if not np.isfinite(clip.spectrogram).all():
        raise ValueError(f"clip {entry.key}: spectrogram is not finite")
    description = json.dumps({"key": entry.key, "label": entry.label, "split": entry.split})
    return [
        *clip.jpegs,
        wav_header(format) + clip.waveform.astype("<i2").tobytes(),
        mel_header(format) + clip.spectrogram.astype("<f2").tobytes(),
        description.encode(),
    ]


def _lock(file: BinaryIO, shard: Path) -> None:
    """Take the shard for this process; a worker of a killed preparation may hold it a moment longer."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise DataError(f"another process is writing {shard}: wait for it, or end it") from None
            time.sleep(0.1)


@contextlib.contextmanager
def _full_disk_is_an_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else f"{error.strerror}"
        raise RunError(
            f"cannot write {path}: {what}; what is written so far is kept; make room, then run the same again"
        ) from error
