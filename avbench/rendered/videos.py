"""Rendered clips as real mp4 files with a CSV, in VGGSound's own layout, to exercise the whole ingestion.

The files are 10 s long, 256 x 256, H.264 and AAC. Their ids begin with `rendered-`, which no YouTube id of
11 characters does: `avbench data prepare vggsound` labels a store made of them `rendered`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avbench.errors import InputError
from avbench.preparation import RENDERED_ID
from avbench.randomness import Randomness
from avbench.rendered.clips import SAMPLE_RATE, Canvas, RenderedClip, render_clip
from avbench.rendered.store import RenderedClips
from avbench.rendered.world import WORLD

CANVAS = Canvas(seconds=10.0, frames=80, pixels=256)
_AUDIO_CHUNK = 1024


def write_videos(clips: RenderedClips, folder: Path, observe: Callable[[str], None]) -> Path:
    """Write every clip as `folder/video/{id}_{start:06d}.mp4` and the list of them; return the CSV's path.

    Args:
        clips: which clips; they look and sound as in the store of the same classes, drawn for 10 s.
        folder: made if it is not there; must not hold a CSV already.
        observe: called with each clip's key when its file is written.

    Raises:
        InputError: the folder holds such files already, or cannot be written to.
    """
    table = folder / "clips.csv"
    if table.exists():
        raise InputError(f"{table} exists already: choose another folder or remove it")
    try:
        (folder / "video").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}") from error
    rows = []
    for entry in clips.entries():
        video = f"{RENDERED_ID}{entry.key}"
        rendered = render_clip(clips.designs[entry.label], Randomness(WORLD).numpy(entry.key), CANVAS)
        _write_mp4(folder / "video" / f"{video}_{0:06d}.mp4", rendered)
        rows.append((video, 0, entry.label, entry.split))
        observe(entry.key)
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return table


def _write_mp4(path: Path, clip: RenderedClip) -> None:
    partial = path.with_suffix(".partial")
    with av.open(str(partial), "w", format="mp4") as container:
        pictures = container.add_stream("libx264", rate=Fraction(len(clip.frames)) / int(CANVAS.seconds))
        pictures.width = pictures.height = CANVAS.pixels
        pictures.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for picture in clip.frames:
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(pictures.encode(None))
        for start in range(0, len(clip.waveform), _AUDIO_CHUNK):
            chunk = np.ascontiguousarray(clip.waveform[None, start : start + _AUDIO_CHUNK], dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    partial.replace(path)
