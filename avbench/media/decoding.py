"""Decoding one video file into the frames and the sound of a clip, each part of the file once.

Time is the container's: 0 is where the file starts, as its header says, for both streams. Each stream is
read through a container of its own, forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from avbench.media.decoding_audio import decode_waveform
from avbench.media.decoding_video import decode_frames, video_streams
from avbench.store.layout import ClipFormat
from avbench.store.shard_making import ClipRefusedError

# A clip may lack a tenth at its start or end: of 80 frames the published pipeline never looks at one past
# the 72nd (a window of 4 s that starts at 5.875 s at most).
MISSING_SHARE = 0.1
# Samples of at most one 16-bit step are silence: decoders of lossy sound leave such.
SILENT_PEAK = 1


@dataclass(frozen=True)
class DecodedClip:
    """What is kept of a video file.

    Attributes:
        frames: `format.frames` arrays uint8 (H, W, 3), RGB, shorter side `format.short_side`; where a frame
            is shown at several of the wanted times, it is the same array.
        waveform: int16 (format.samples,) at `format.sample_rate`.
    """

    frames: list[NDArray[np.uint8]]
    waveform: NDArray[np.int16]


def decode_clip(path: Path, format: ClipFormat) -> DecodedClip:
    """Decode the first `format.seconds` of a video file.

    Raises:
        ClipRefusedError: "missing file"; "no video track" or "no audio track"; "undecodable" where a part of
            the clip cannot be decoded whole; "too short" where the video starts after a tenth of the clip or
            either stream ends before nine tenths; "silent" where no sample differs from 0 by more than one
            step of 16 bits.
    """
    if not path.is_file():
        raise ClipRefusedError("missing file", f"no file {path.name}")
    try:
        with av.open(str(path)) as container:
            if not video_streams(container):
                raise ClipRefusedError("no video track", "")
            if not container.streams.audio:
                raise ClipRefusedError("no audio track", "")
            frames, start, end = decode_frames(container, _start(container), format)
            _check_covered("video", start, end, format)
        with av.open(str(path)) as container:
            waveform, end = decode_waveform(container, _start(container), format)
            # Sound may start late; it is its end that tells whether it is all there.
            _check_covered("sound", 0.0, end, format)
    # Beside FFmpeg's errors, PyAV raises some of Python's for spoilt files.
    except (av.FFmpegError, ValueError, EOFError, ArithmeticError, OSError) as error:
        raise ClipRefusedError("undecodable", f"{type(error).__name__}: {error}") from error
    if np.abs(waveform.astype(np.int32)).max() <= SILENT_PEAK:
        raise ClipRefusedError("silent", f"no sample is above {SILENT_PEAK} of 32768")
    return DecodedClip(frames, waveform)


def _start(container: InputContainer) -> float:
    """Return the container's time 0 in seconds of its streams' timestamps."""
    return (container.start_time or 0) / av.time_base


def _check_covered(what: str, start: float, end: float, format: ClipFormat) -> None:
    """Refuse a stream that does not cover the clip, but for a tenth at either end."""
    spare = MISSING_SHARE * format.seconds
    if start > spare:
        raise ClipRefusedError("too short", f"the {what} starts at {start:.2f} s of {format.seconds:g}")
    if end < format.seconds - spare:
        raise ClipRefusedError("too short", f"the {what} ends at {end:.2f} s of {format.seconds:g}")
