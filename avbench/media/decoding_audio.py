"""The sound of a clip: one channel, resampled, laid at its place in time."""

from __future__ import annotations

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from numpy.typing import NDArray

from avbench.media.decoding_video import seconds
from avbench.store.layout import ClipFormat

# Sound after a hole longer than this is laid at its time again; shorter ones are rounding of timestamps.
_HOLE_SECONDS = 0.05


class _Track:
    """The clip's samples, and the place where the next ones go."""

    def __init__(self, samples: int) -> None:
        self.samples = np.zeros(samples, dtype=np.int16)
        self.place = 0

    def lay(self, frames: list[AudioFrame]) -> None:
        """Write resampled sound at the present place; what lies outside of the clip is left out."""
        for frame in frames:
            part = frame.to_ndarray().reshape(-1)
            begin, end = max(self.place, 0), min(self.place + len(part), len(self.samples))
            if begin < end:
                self.samples[begin:end] = part[begin - self.place : end - self.place]
            self.place += len(part)


def decode_waveform(
    container: InputContainer, origin: float, format: ClipFormat
) -> tuple[NDArray[np.int16], float]:
    """Decode the sound of a clip from a container's first audio track.

    Args:
        container: just opened.
        origin: time 0 of the clip, in seconds of the stream's timestamps.
        format: length and sample rate.

    Returns:
        int16 (format.samples,), silent where the track has nothing, before it starts for instance; and when
        the sound ends, in seconds (0 where there is none).

    Raises:
        ValueError, av.FFmpegError: the track is damaged.
    """
    stream = container.streams.audio[0]
    stream.codec_context.thread_count = 1
    track = _Track(format.samples)
    resampler: AudioResampler | None = None
    kind: tuple[str, str, int] | None = None
    ended = 0.0
    for frame in container.decode(stream):
        time = seconds(frame.pts, frame.time_base) - origin
        if time > format.seconds:
            break
        this_kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or kind != this_kind or abs(time - ended) > _HOLE_SECONDS:
            if resampler is not None:
                track.lay(resampler.resample(None))
            resampler = AudioResampler(format="s16", layout="mono", rate=format.sample_rate)
            kind = this_kind
            track.place = round(time * format.sample_rate)
        track.lay(resampler.resample(frame))
        ended = time + frame.samples / frame.sample_rate
    if resampler is not None:
        track.lay(resampler.resample(None))
    return track.samples, ended
