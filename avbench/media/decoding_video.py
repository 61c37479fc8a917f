"""Frames of a video stream at wanted times.

Frame k is wanted at t = k * seconds / frames and is the last one shown at or before t; where the video starts
late, its first one. Packets are read forward; those between two keyframes with no wanted frame among them are
passed over undecoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from avbench.store.layout import ClipFormat


@dataclass(frozen=True)
class CodedFrame:
    """A packet, and from when to when its frame is shown, in seconds from the clip's start."""

    packet: Packet[VideoStream] | None
    shown: float
    end: float
    is_keyframe: bool


def video_streams(container: InputContainer) -> list[VideoStream]:
    """Return the tracks that are videos; a cover picture is none."""
    cover = Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


def seconds(ticks: int | None, unit: Fraction | None) -> float:
    """Return a timestamp in seconds; ValueError if there is none."""
    if ticks is None or not unit:
        raise ValueError("a timestamp is missing")
    return ticks * float(unit)


def decode_frames(
    container: InputContainer, origin: float, format: ClipFormat
) -> tuple[list[NDArray[np.uint8]], float, float]:
    """Decode the frames of a clip from a container's first video.

    Args:
        container: just opened.
        origin: time 0 of the clip, in seconds of the stream's timestamps.
        format: which frames, and their size.

    Returns:
        The frames, RGB, uint8 (H, W, 3); when the first frame of the stream is shown and until when the last
        one is, of those that begin within the clip, in seconds. No frames where the stream has none.

    Raises:
        ValueError, av.FFmpegError: packets or frames are damaged.
    """
    stream = video_streams(container)[0]
    stream.codec_context.thread_count = 1
    coded = list(_coded(container, stream, origin, format.seconds))
    if not coded:
        return [], 0.0, 0.0
    wanted = [frame * format.seconds / format.frames for frame in range(format.frames)]
    # Half a tick early counts: a wanted time is not always a whole number of ticks.
    early = seconds(1, stream.time_base) / 2
    kept: list[NDArray[np.uint8]] = []
    shown: VideoFrame | None = None
    scaler = _Scaler(stream, format.short_side)
    for frame in _decoded(stream, coded, [time + early for time in wanted]):
        time = seconds(frame.pts, stream.time_base) - origin
        while len(kept) < len(wanted) and wanted[len(kept)] + early < time:
            kept.append(scaler.scaled(shown or frame))
        shown = frame
    if shown is None:
        raise ValueError("no frame could be decoded")
    while len(kept) < len(wanted):
        kept.append(scaler.scaled(shown))
    return kept, min(packet.shown for packet in coded), max(packet.end for packet in coded)


def _coded(container: InputContainer, stream: VideoStream, origin: float, end: float) -> Iterator[CodedFrame]:
    """Yield a stream's packets in the order of decoding, up to time `end` of the clip."""
    for packet in container.demux(stream):
        if packet.pts is None:
            continue
        if packet.is_corrupt:
            raise ValueError("a packet is damaged")
        if packet.dts is not None and seconds(packet.dts, stream.time_base) - origin > end:
            return
        shown = seconds(packet.pts, stream.time_base) - origin
        lasting = seconds(packet.duration or 0, stream.time_base)
        yield CodedFrame(packet, shown, shown + lasting, packet.is_keyframe)


def _decoded(stream: VideoStream, coded: list[CodedFrame], wanted: list[float]) -> Iterator[VideoFrame]:
    """Decode forward, passing over the packets that no wanted frame needs."""
    decoding = False
    for packet, needed in zip(coded, needed_packets(coded, wanted), strict=True):
        if needed:
            yield from stream.codec_context.decode(packet.packet)
        elif decoding:
            # The decoder holds frames back; it gives them out, and starts anew at a keyframe.
            yield from stream.codec_context.decode(None)
            stream.codec_context.flush_buffers()
        decoding = needed
    yield from stream.codec_context.decode(None)


def needed_packets(coded: Sequence[CodedFrame], wanted: Sequence[float]) -> list[bool]:
    """Return which packets must be decoded to see the frames shown at the wanted times.

    Those are whole runs from a keyframe to before the next, and of the run after it the frames that are coded
    behind their keyframe but shown before it.
    """
    needed = [False] * len(coded)
    keys = [place for place, packet in enumerate(coded) if packet.is_keyframe] or [0]
    # The first run also stands for what is wanted before it, the last for all after it.
    begins = [-np.inf, *(coded[key].shown for key in keys[1:]), np.inf]
    ends = [*keys[1:], len(coded), len(coded)]
    for run, key in enumerate(keys):
        if not any(begins[run] <= time < begins[run + 1] for time in wanted):
            continue
        last = ends[run]
        for place in range(ends[run], ends[run + 1]):
            if coded[place].shown < coded[ends[run]].shown:
                last = place + 1
        needed[key:last] = [True] * (last - key)
    return needed


class _Scaler:
    """Brings frames of a video to size, as they are to be shown: square pixels, upright."""

    def __init__(self, stream: VideoStream, short_side: int) -> None:
        self._reformatter = VideoReformatter()
        self._short_side = short_side
        self._pixel_aspect = float(stream.sample_aspect_ratio or 1) or 1.0
        self._last: tuple[VideoFrame, NDArray[np.uint8]] | None = None

    def scaled(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return uint8 (H, W, 3), RGB; the same array for the same frame."""
        if self._last is not None and self._last[0] is frame:
            return self._last[1]
        if frame.is_corrupt:
            raise ValueError("a frame is damaged")
        shown_width = frame.width * self._pixel_aspect
        scale = self._short_side / min(shown_width, frame.height)
        width, height = round(shown_width * scale), round(frame.height * scale)
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", interpolation="BICUBIC", threads=1)
        # Rotation is in degrees, anticlockwise, as the file asks it of players.
        upright = np.rot90(rgb.to_ndarray(), round(frame.rotation / 90))
        array: NDArray[np.uint8] = np.ascontiguousarray(upright)
        self._last = (frame, array)
        return array
