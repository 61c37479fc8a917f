"""How a clip store lies on disk: format and entries, names, the tar and .npy headers, checksums.

    index.json      what the clips are (format, source, provenance), the shards, checksums of the two below
    clips.json      one row a clip, in order: key, label, split
    members.bin     one row a member of the shards: offset, length and xxh3 of its bytes
    report.csv      clips that were planned and are missing or refused, and why
    shards/         clips-000000.tar, clips-000001.tar, ...: uncompressed tar files

In the shards one clip is a run of consecutive members named `{key}.000.jpg`, `{key}.001.jpg`, ...,
`{key}.wav`, `{key}.mel.npy`, `{key}.json`: a WebDataset reader streams them as they are.
"""

from __future__ import annotations

import json
import struct
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from avbench.errors import DataError, InputError

Split = Literal["train", "test"]

STORE_VERSION = 1
INDEX, CLIPS, MEMBERS, SHARDS, REPORT = "index.json", "clips.json", "members.bin", "shards", "report.csv"

# One member of a shard: where its bytes begin in the tar file, how many they are, their xxh3-64.
MEMBER = np.dtype([("offset", "<u8"), ("length", "<u4"), ("xxh3", "<u8")])
TAR_BLOCK = 512
TAR_END = bytes(2 * TAR_BLOCK)


@dataclass(frozen=True)
class ClipFormat:
    """What every clip of a store looks like.

    Attributes:
        seconds: length of the clip.
        frames: frames kept, evenly spaced from the start: frame k is at k * seconds / frames.
        short_side: pixels of the frames' shorter side; the longer one follows from the video.
        mel_frames: length of the spectrogram, 10 ms a frame, zero-padded or cut.
        sample_rate: of the sound, in Hz; one channel.
        mel_bins: height of the spectrogram.
    """

    seconds: float
    frames: int
    short_side: int
    mel_frames: int
    sample_rate: int = 16_000
    mel_bins: int = 128

    @property
    def samples(self) -> int:
        """Samples of a clip's waveform."""
        return round(self.seconds * self.sample_rate)

    @property
    def members(self) -> int:
        """Members of a clip in a shard: its frames, waveform, spectrogram and description."""
        return self.frames + 3


# 8 frames a second over the first 10 s, and a spectrogram of 1024 frames, as STELLA's pipeline keeps them.
PUBLISHED_FORMAT = ClipFormat(seconds=10.0, frames=80, short_side=256, mel_frames=1024)


@dataclass(frozen=True, slots=True)
class ClipEntry:
    """One clip of a store: its unique key (letters, digits, - and _), its class label, its split."""

    key: str
    label: str
    split: Split


@dataclass(frozen=True, slots=True)
class Shard:
    """A tar file of a store: its name, the number of its first clip, its size in bytes."""

    name: str
    first_clip: int
    bytes: int


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"clips-{number:06d}.tar"


def member_names(key: str, format: ClipFormat) -> list[str]:
    """Return the names of a clip's members in the order they are written."""
    frames = [f"{key}.{frame:03d}.jpg" for frame in range(format.frames)]
    return [*frames, f"{key}.wav", f"{key}.mel.npy", f"{key}.json"]


def tar_header(name: str, length: int) -> bytes:
    """Return the 512 bytes before a member in a tar file; always the same for a name and length."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = length, 0o644
    return member.tobuf(tarfile.USTAR_FORMAT)


def tar_padding(length: int) -> bytes:
    """Return the zeros that fill a member of `length` bytes up to the next block."""
    return bytes(-length % TAR_BLOCK)


def wav_header(format: ClipFormat) -> bytes:
    """Return the 44 bytes before a waveform, the same for all clips of a format: 16-bit PCM, one channel."""
    size, rate = 2 * format.samples, format.sample_rate
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16
    )
    return head + struct.pack("<4sI", b"data", size)


def mel_header(format: ClipFormat) -> bytes:
    """Return the header of a spectrogram's .npy file, the same for all clips of a format."""
    shape = (format.mel_frames, format.mel_bins)
    description = f"{{'descr': '<f2', 'fortran_order': False, 'shape': {shape}, }}"
    # Padded with spaces to a multiple of 64 bytes, as the .npy format, version 1.0, wants it.
    padded = description + " " * (-(10 + len(description) + 1) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode()


def store_fingerprint(
    format: ClipFormat, source: str, rows: Sequence[Sequence[str]], members: NDArray[np.void]
) -> str:
    """Return the xxh3-128 of format, source, clips (key, label, split) and the xxh3 of every member."""
    digest = xxhash.xxh3_128()
    digest.update(json.dumps([asdict(format), source, rows], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(members["length"]).tobytes())
    digest.update(np.ascontiguousarray(members["xxh3"]).tobytes())
    return digest.hexdigest()


def header_checksum(header: dict[str, Any]) -> str:
    """Return the checksum that index.json carries over its own other fields."""
    rest = {name: value for name, value in header.items() if name != "checksum"}
    return xxhash.xxh3_128_hexdigest(json.dumps(rest, sort_keys=True).encode())


def is_store(path: Path) -> bool:
    """Return whether a folder holds a finished store."""
    return (path / INDEX).is_file()


def name_of_rendered(
    format: ClipFormat, source: str, provenance: Mapping[str, Any], entries: Sequence[ClipEntry]
) -> str:
    """Return 32 hexadecimal digits that name rendered clips by what is rendered, not by their bytes."""
    recipe = {name: provenance[name] for name in ("world", "classes")}
    rows = [(entry.key, entry.label, entry.split) for entry in entries]
    named = [asdict(format), source, recipe, rows]
    return xxhash.xxh3_128_hexdigest(json.dumps(named, sort_keys=True).encode())


def read_header(path: Path) -> dict[str, Any]:
    """Return the contents of a store's index.json.

    Raises:
        InputError: there is no finished store in this folder, or one of another version.
        DataError: index.json is damaged.
    """
    file = path / INDEX
    if not file.is_file():
        unfinished = (path / SHARDS).is_dir()
        hint = "its preparation was not finished: run it again" if unfinished else "see avbench data --help"
        raise InputError(f"{path} holds no finished clip store; {hint}")
    try:
        header: dict[str, Any] = json.loads(file.read_bytes())
        whole = header["checksum"] == header_checksum(header)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is damaged: prepare the store again") from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error
    if not whole:
        raise DataError(f"{file} is damaged: it does not match its own checksum; prepare the store again")
    if header["version"] != STORE_VERSION:
        version = header["version"]
        raise InputError(f"{file} is of store version {version}; this avbench reads {STORE_VERSION}")
    return header
