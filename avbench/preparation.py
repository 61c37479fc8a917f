"""Preparing VGGSound: its official CSV and a folder of mp4 files become a clip store.

The CSV has no header and the columns YouTube id, start second, label, train|test. The clip of a row is the
file `{id}_{start:06d}.mp4`. A clip that is missing or refused is in the store's report with the reason; it
is never replaced by another one.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from avbench.errors import InputError
from avbench.media import jpeg
from avbench.media.decoding import decode_clip
from avbench.media.spectrogram import log_mel
from avbench.store.building import Observer, build_store
from avbench.store.index import StoreSummary
from avbench.store.layout import PUBLISHED_FORMAT, ClipEntry, ClipFormat, Split
from avbench.store.shard_writer import EncodedClip

SOURCE = "vggsound"
# Ids of files that `avbench data render --as-mp4` wrote; a YouTube id has 11 characters.
RENDERED_ID = "rendered-"
# A store has some 4 MB a clip: shards of 250 MB.
CLIPS_PER_SHARD = 64
SPLITS: dict[str, Split] = {"train": "train", "test": "test"}
_MISTAKES_SHOWN = 10
_VIDEO = re.compile(r"[A-Za-z0-9_-]{1,64}")


def prepare_vggsound(
    videos: str | os.PathLike[str],
    entries: Sequence[ClipEntry],
    out: str | os.PathLike[str],
    *,
    workers: int,
    observe: Observer | None = None,
) -> StoreSummary:
    """Decode the clips of VGGSound in `entries` into a store at `out`, or go on where that stopped.

    Args:
        videos: folder of the mp4 files.
        entries: the clips, as `read_vggsound_csv` returns them.
        out: the store.
        workers: processes that decode.
        observe: told of every clip.

    Raises:
        InputError, DataError, RunError: see `build_store`.
    """
    folder = Path(videos)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give the one with the mp4 files")
    return build_store(
        out,
        entries,
        partial(make_clip, folder, PUBLISHED_FORMAT),
        format=PUBLISHED_FORMAT,
        source=source_of(entries),
        provenance=provenance(),
        workers=workers,
        clips_per_shard=CLIPS_PER_SHARD,
        observe=observe,
    )


def source_of(entries: Sequence[ClipEntry]) -> str:
    """Return the label of the clips' source: "vggsound", or "rendered" for files that avbench rendered.

    Raises:
        InputError: real and rendered clips are mixed, which no label could say.
    """
    rendered = [entry.key.startswith(RENDERED_ID) for entry in entries]
    if any(rendered) != all(rendered):
        raise InputError(
            f"{sum(rendered)} of {len(entries)} clips are rendered: real and rendered clips "
            "cannot share a store"
        )
    return "rendered" if all(rendered) else SOURCE


def make_clip(videos: Path, format: ClipFormat, entry: ClipEntry) -> EncodedClip:
    """Decode and encode the clip of one entry; ClipRefusedError if it cannot be kept."""
    decoded = decode_clip(videos / f"{entry.key}.mp4", format)
    # A frame that is shown at several of the wanted times is encoded once.
    encoded = {
        id(frame): jpeg.encode(frame) for frame in {id(frame): frame for frame in decoded.frames}.values()
    }
    # The spectrogram is of the sound as it is stored.
    waveform = torch.from_numpy(decoded.waveform.astype(np.float32) / 32768)
    return EncodedClip(
        jpegs=[encoded[id(frame)] for frame in decoded.frames],
        waveform=decoded.waveform,
        spectrogram=log_mel(waveform, format).numpy().astype(np.float16),
    )


def provenance() -> dict[str, Any]:
    """Return what besides the videos decides the bytes of a store: libraries and their versions."""
    return {
        "jpeg": jpeg.LIBRARY,
        "jpeg_quality": jpeg.QUALITY,
        "av": version("av"),
        "libav": {name: ".".join(map(str, number)) for name, number in sorted(av.library_versions.items())},
        "torchaudio": version("torchaudio"),
    }


def read_vggsound_csv(path: str | os.PathLike[str]) -> list[ClipEntry]:
    """Return the clips of VGGSound's official CSV, in its order.

    Raises:
        InputError: the file cannot be read, is empty, or has rows that are malformed or there twice; the
            message names the lines.
    """
    entries: list[ClipEntry] = []
    lines: dict[str, int] = {}
    mistakes: list[str] = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            for row in rows:
                try:
                    entry = _entry(row)
                    if entry.key in lines:
                        raise ValueError(f"{entry.key} is in line {lines[entry.key]} already")
                except ValueError as error:
                    mistakes.append(f"line {rows.line_num}: {error}")
                    continue
                lines[entry.key] = rows.line_num
                entries.append(entry)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path} as a CSV file: {error}") from error
    if mistakes:
        more = f"; and {len(mistakes) - _MISTAKES_SHOWN} more" if len(mistakes) > _MISTAKES_SHOWN else ""
        raise InputError(f"{path}: " + "; ".join(mistakes[:_MISTAKES_SHOWN]) + more)
    if not entries:
        raise InputError(f"{path} lists no clips")
    return entries


def _entry(row: list[str]) -> ClipEntry:
    """Return the clip of a row; ValueError says what is wrong with it."""
    if len(row) != 4:
        raise ValueError(f"{len(row)} columns instead of YouTube id, start second, label, train or test")
    video, start, label, split = row
    if not _VIDEO.fullmatch(video):
        raise ValueError(f"{video!r} is no YouTube id")
    if not (start.isascii() and start.isdigit()):
        raise ValueError(f"start second {start!r} is no whole number")
    if not label.strip():
        raise ValueError("the label is empty")
    if split not in SPLITS:
        raise ValueError(f"{split!r} is neither train nor test")
    return ClipEntry(f"{video}_{int(start):06d}", label, SPLITS[split])
