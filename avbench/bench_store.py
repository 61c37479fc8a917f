"""Measuring on this machine: preparing a store and reading it, beside bare decoding of the same video."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from avbench.errors import DataError
from avbench.loading import ClipDataset, clip_loader, geometry_of
from avbench.preparation import prepare_vggsound
from avbench.store.layout import PUBLISHED_FORMAT, ClipEntry
from avbench.store.reading import ClipStore

_FRAMES = 4
_LARGEST_SIDE = 224
_PATCH = 16


@dataclass(frozen=True)
class StoreSpeed:
    """Clips per second, one process each.

    Attributes:
        video: the file that was decoded and prepared.
        bare_decoding: decoding every frame and all sound of the same seconds with PyAV, nothing else.
        preparing: making a store of it. Frames that no kept one needs are not even decoded.
        store: the store that was read.
        reading: training batches read from the store: 4 frames and the spectrogram of each clip.
        preparing_ratio, reading_ratio: over bare decoding.
    """

    video: str
    bare_decoding: float
    preparing: float
    store: str
    reading: float
    preparing_ratio: float
    reading_ratio: float


def store_speed(
    folder: Path, *, video: Path | None = None, store: Path | None = None, clips: int = 4, turns: int = 3
) -> StoreSpeed:
    """Decode, prepare and read.

    Args:
        folder: an empty folder for what is made on the way.
        video: an mp4 file of 10 s or more; one is made where none is given.
        store: the store to read; the one prepared from the video where none is given.
        clips: how often the video is prepared.
        turns: how often decoding and reading are repeated; medians are compared.

    Raises:
        InputError, DataError: the video or the store cannot be read.
    """
    if video is None:
        video = folder / "made.mp4"
        make_video(video)
    decoding = 1 / _median_seconds(lambda: decode_bare(video), turns)

    videos = folder / "videos"
    videos.mkdir()
    entries = [ClipEntry(f"bench{number:06d}_000000", "bench", "train") for number in range(clips)]
    for entry in entries:
        shutil.copyfile(video, videos / f"{entry.key}.mp4")
    started = time.perf_counter()
    summary = prepare_vggsound(videos, entries, folder / "store", workers=1)
    preparing = clips / (time.perf_counter() - started)
    if summary.refused:
        raise DataError(f"{video} cannot be prepared: {', '.join(summary.refused)}")

    read_from = ClipStore(store or folder / "store")
    side = min(_LARGEST_SIDE, read_from.format.short_side // _PATCH * _PATCH)
    geometry = geometry_of(read_from.format, frames=_FRAMES, frame_size=side)
    chosen = list(range(min(len(read_from), 256)))
    dataset = ClipDataset(read_from, chosen, geometry, training=True, augment=False)

    def read() -> None:
        for _ in clip_loader(dataset, batch_size=16, shuffle=None):
            pass

    reading = len(chosen) / _median_seconds(read, turns)
    return StoreSpeed(
        video=str(video),
        bare_decoding=decoding,
        preparing=preparing,
        store=str(store or "made of the video"),
        reading=reading,
        preparing_ratio=preparing / decoding,
        reading_ratio=reading / decoding,
    )


def decode_bare(video: Path) -> None:
    """Decode the seconds that a store keeps of a video, every frame and all sound, and do nothing with it.

    Raises:
        DataError: it cannot be decoded.
    """
    try:
        for kind in ("video", "audio"):
            with av.open(str(video)) as container:
                for frame in container.decode(container.streams.get({kind: 0})):
                    time_of_frame = getattr(frame, "time", None)
                    if time_of_frame is not None and time_of_frame >= PUBLISHED_FORMAT.seconds:
                        break
    except (av.FFmpegError, OSError, IndexError) as error:
        raise DataError(f"{video} cannot be decoded: {error}") from error


def make_video(path: Path) -> None:
    """Write an mp4 file like VGGSound's: 10 s of H.264, 340 x 256 at 30 frames a second, with AAC sound."""
    width, height, rate, sound_rate, seconds = 340, 256, 30, 44_100, 10
    generator = np.random.Generator(np.random.PCG64(0))
    texture = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "28"})
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        sound = container.add_stream("aac", rate=sound_rate, layout="mono")
        for number in range(rate * seconds):
            # A texture that moves under a light that changes: neither still nor noise.
            light = 0.6 + 0.4 * np.sin(number / rate)
            moved = (np.roll(texture // 4 + 96, number, axis=1) * light).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(moved, format="rgb24")
            container.mux(picture.encode(frame))
        container.mux(picture.encode())
        wave = (8000 * np.sin(np.arange(sound_rate * seconds) * 0.05)).astype(np.int16)
        block = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        block.sample_rate = sound_rate
        container.mux(sound.encode(block))
        container.mux(sound.encode())


def _median_seconds(work: Callable[[], None], turns: int) -> float:
    work()
    seconds = []
    for _ in range(turns):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
