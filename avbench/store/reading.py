"""The clip store: clips decoded once, read at random, every byte checked.

A store is a folder of uncompressed tar shards with an index of our own (`avbench.store.layout`): with it
a read at random is one `pread`, and a flipped bit an error that names the clip. Stores are written by
`avbench.store.writer`.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor

from avbench.errors import DataError, InputError
from avbench.store.layout import (
    CLIPS,
    MEMBER,
    MEMBERS,
    PUBLISHED_FORMAT,
    SHARDS,
    ClipEntry,
    ClipFormat,
    Shard,
    Split,
    is_store,
    mel_header,
    member_names,
    name_of_rendered,
    read_header,
    wav_header,
)

__all__ = ["PUBLISHED_FORMAT", "ClipEntry", "ClipFormat", "ClipStore", "Split", "is_store"]

# Members this close together are read in one go.
_ONE_READ_BYTES = 1 << 16
_OPEN_SHARDS = 128


class ClipStore:
    """Read access to a finished store; may be pickled, forked and used by many loader processes.

    Attributes:
        path: the store's folder.
        format: what its clips look like.
        source: where they come from, "vggsound" or "rendered" for example; tables are labelled with it.
        provenance: how the store was made: versions, JPEG library, seed and the like.
        entries: the clips, in order; a clip's place in this list is its number everywhere.
        shards: the tar files that hold them.
        fingerprint: xxh3-128, in hex, over format, source, entries and the xxh3 of every member. Stores
            with the same clips have the same fingerprint, however they are cut into shards.

    Raises:
        InputError: there is no finished store in this folder.
        DataError: the index is damaged, or a shard is missing or was cut off.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._open(Path(path), check_index=True)
        _check_shards(self.path, self.shards)

    @classmethod
    def for_verification(cls, path: str | os.PathLike[str]) -> ClipStore:
        """Open a store whose shards may be missing or cut off, to find out what is left."""
        store = cls.__new__(cls)
        store._open(Path(path), check_index=True)
        return store

    def _open(self, path: Path, *, check_index: bool) -> None:
        self.path = path
        header = read_header(path)
        self.format = ClipFormat(**header["format"])
        self.source: str = header["source"]
        self.provenance: dict[str, Any] = header["provenance"]
        self.fingerprint: str = header["fingerprint"]
        self.shards: list[Shard] = [Shard(**shard) for shard in header["shards"]]
        self._first_clips = [shard.first_clip for shard in self.shards]
        self._files: dict[int, int] = {}
        self._numbers: dict[str, int] = {}
        self._data_starts = {
            self.format.frames: len(wav_header(self.format)),
            self.format.frames + 1: len(mel_header(self.format)),
        }
        try:
            rows = (path / CLIPS).read_bytes()
            # Mapped, not read: loader processes share its pages.
            members = np.asarray(np.memmap(path / MEMBERS, dtype=MEMBER, mode="r"))
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read the index of {path}: {error}; prepare the store again") from error
        if check_index:
            _check_index(path / CLIPS, rows, header["checksums"][CLIPS])
            _check_index(path / MEMBERS, members.view(np.uint8).data, header["checksums"][MEMBERS])
        self.entries: list[ClipEntry] = [ClipEntry(*row) for row in json.loads(rows)]
        self._members: NDArray[np.void] = members.reshape(len(self.entries), self.format.members)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def clips_name(self) -> str:
        """What names the clips in a record, as far as runs may be compared: 32 hexadecimal digits.

        The fingerprint; for rendered clips a digest of what is rendered. Another processor rounds the last
        place of a rendered clip otherwise, so that stores of one recipe differ in some bytes. That moves a
        run as another number of threads does, and makes no other experiment.
        """
        if "world" not in self.provenance:
            return self.fingerprint
        return name_of_rendered(self.format, self.source, self.provenance, self.entries)

    def number(self, key: str) -> int:
        """Return the number of the clip called `key`; InputError if there is none."""
        if not self._numbers:
            self._numbers = {entry.key: number for number, entry in enumerate(self.entries)}
        if key not in self._numbers:
            raise InputError(f"{self.path} has no clip {key}")
        return self._numbers[key]

    def read_frames(self, clip: int, which: Sequence[int]) -> list[bytes]:
        """Return frames `which` (0 .. format.frames - 1) of a clip, JPEG bytes, in the order asked."""
        return self.read_members(clip, which)

    def read_waveform(self, clip: int) -> Tensor:
        """Return a clip's sound: int16 (format.samples,)."""
        place = self.format.frames
        (data,) = self.read_members(clip, [place])
        return torch.from_numpy(np.frombuffer(data, dtype="<i2", offset=self._data_starts[place]).copy())

    def read_spectrogram(self, clip: int) -> Tensor:
        """Return a clip's normalised log-mel spectrogram: float16 (format.mel_frames, format.mel_bins)."""
        (data,) = self.read_members(clip, [self.format.frames + 1])
        return torch.from_numpy(self.spectrogram_of(data).copy())

    def spectrogram_of(self, data: bytes) -> NDArray[np.float16]:
        """Return the array in the bytes of a spectrogram member, without copying."""
        values = np.frombuffer(data, dtype="<f2", offset=self._data_starts[self.format.frames + 1])
        return values.reshape(self.format.mel_frames, self.format.mel_bins)

    def read_members(self, clip: int, which: Sequence[int]) -> list[bytes]:
        """Return the checked bytes of members of one clip, by their place in the clip's run.

        Places 0 .. frames - 1 are the frames, then waveform, spectrogram and description.

        Raises:
            DataError: bytes are missing or are not those that were written; the clip is named.
        """
        offsets, lengths, digests = self.member_rows(clip, which)
        start, end = min(offsets), max(map(sum, zip(offsets, lengths, strict=True)))
        if end - start <= _ONE_READ_BYTES:
            block = self._read(clip, start, end - start)
            places = [offset - start for offset in offsets]
            parts = [block[place : place + length] for place, length in zip(places, lengths, strict=True)]
        else:
            parts = [self._read(clip, *span) for span in zip(offsets, lengths, strict=True)]
        for place, data, digest in zip(which, parts, digests, strict=True):
            if xxhash.xxh3_64_intdigest(data) != digest:
                key = self.entries[clip].key
                name = member_names(key, self.format)[place]
                raise DataError(
                    f"clip {key} is damaged: {name} in {self.shard_path(clip)} is not what was written; "
                    f"`avbench data verify {self.path}` lists all damage; prepare the store again"
                )
        return parts

    def member_rows(self, clip: int, which: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
        """Return offsets in the shard, lengths and xxh3 of members of one clip."""
        rows = self._members[clip][list(which)]
        return rows["offset"].tolist(), rows["length"].tolist(), rows["xxh3"].tolist()

    def shard_path(self, clip: int) -> Path:
        """Return the tar file that holds a clip."""
        return self.path / SHARDS / self.shards[self._shard_of(clip)].name

    def close(self) -> None:
        """Close the shards that are open; reading opens them again."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def _shard_of(self, clip: int) -> int:
        return bisect_right(self._first_clips, clip) - 1

    def _read(self, clip: int, offset: int, length: int) -> bytes:
        shard = self._shard_of(clip)
        try:
            if shard not in self._files:
                if len(self._files) >= _OPEN_SHARDS:
                    os.close(self._files.pop(next(iter(self._files))))
                self._files[shard] = os.open(self.shard_path(clip), os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(self._files[shard], length, offset)
        except OSError as error:
            key, path = self.entries[clip].key, self.shard_path(clip)
            raise DataError(f"cannot read clip {key} from {path}: {error.strerror}") from error

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "fingerprint": self.fingerprint}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._open(state["path"], check_index=False)
        if self.fingerprint != state["fingerprint"]:
            raise DataError(f"{self.path} was replaced by another store while it was in use")

    def __del__(self) -> None:
        for file in getattr(self, "_files", {}).values():
            os.close(file)


def _check_index(file: Path, data: bytes | memoryview, checksum: str) -> None:
    if xxhash.xxh3_128_hexdigest(data) != checksum:
        raise DataError(f"{file} is damaged: it does not match its checksum; prepare the store again")


def _check_shards(path: Path, shards: list[Shard]) -> None:
    for shard in shards:
        file = path / SHARDS / shard.name
        if not file.is_file():
            raise DataError(f"{file} is missing: copy it back or prepare the store again")
        size = file.stat().st_size
        if size != shard.bytes:
            raise DataError(f"{file} has {size} bytes instead of {shard.bytes}: prepare the store again")
