from pathlib import Path

import av
import numpy as np
import pytest

from avbench.media.decoding import decode_clip
from avbench.media.decoding_video import CodedFrame, needed_packets
from avbench.store.reading import ClipFormat
from avbench.store.shard_making import ClipRefusedError

# Two seconds, a frame every 125 ms, as the published pipeline has ten.
FORMAT = ClipFormat(seconds=2.0, frames=16, short_side=48, mel_frames=208)
SLOPE = 100.0


@pytest.fixture
def video(make_video, tmp_path):
    def make(**options):
        return make_video(
            tmp_path / "video.mp4", **{"seconds": 2.0, "slope": SLOPE, "sound": (0.0, 2.0)} | options
        )

    return make


def shown_times(clip):
    """When each frame of a clip was shown in its video, to within some 10 ms."""
    return np.array([(frame.mean() - 16) / SLOPE for frame in clip.frames])


def last_at_or_before(times, wanted):
    return np.array(
        [max((time for time in times if time <= want + 1e-6), default=times[0]) for want in wanted]
    )


WANTED = np.arange(16) / 8


@pytest.mark.parametrize(
    ("rate", "options"),
    [
        (10, {}),
        (30, {}),
        (5, {}),
        (30, {"g": "1"}),
        (30, {"g": "7", "bf": "3", "preset": "veryfast"}),
        (30, {"bf": "3", "preset": "veryfast", "x264-params": "open-gop=1:keyint=8:min-keyint=8:bframes=3"}),
    ],
    ids=["10 fps", "30 fps", "5 fps", "only keyframes", "B-frames", "open groups"],
)
def test_a_frame_is_the_last_one_shown_at_its_time(video, rate, options):
    clip = decode_clip(video(rate=rate, codec_options=options), FORMAT)
    times = [number / rate for number in range(2 * rate)]
    assert shown_times(clip) == pytest.approx(last_at_or_before(times, WANTED), abs=0.016)


@pytest.mark.parametrize("open_groups", [0, 1])
@pytest.mark.parametrize("group", [4, 7, 8])
def test_passing_over_packets_changes_no_frame(video, group, open_groups):
    """Three frames are wanted of sixty: most groups hold none."""
    options = f"open-gop={open_groups}:keyint={group}:min-keyint={group}:bframes=3:b-adapt=0:scenecut=0"
    path = video(rate=30, codec_options={"preset": "veryfast", "x264-params": options})
    clip = decode_clip(path, ClipFormat(seconds=2.0, frames=3, short_side=48, mel_frames=208))
    times = [number / 30 for number in range(60)]
    assert shown_times(clip) == pytest.approx(last_at_or_before(times, np.arange(3) * 2 / 3), abs=0.016)


def test_frames_of_uneven_duration_keep_their_times(video):
    times = [0.0, 0.05, 0.3, 0.35, 0.9, 0.95, 1.0, 1.3, 1.8, 1.9]
    clip = decode_clip(video(times=times), FORMAT)
    assert shown_times(clip) == pytest.approx(last_at_or_before(times, WANTED), abs=0.016)


def test_a_repeated_frame_is_one_array(video):
    clip = decode_clip(video(rate=4), FORMAT)
    assert len(clip.frames) == 16
    assert len({id(frame) for frame in clip.frames}) == 8


def test_only_the_runs_with_wanted_frames_are_decoded():
    def coded(*packets):
        return [CodedFrame(None, shown, shown + 1, key) for shown, key in packets]

    closed = coded((0, True), (1, False), (2, True), (3, False), (4, True), (5, False))
    assert needed_packets(closed, [0.0, 4.5]) == [True, True, False, False, True, True]
    # The frame of second 3 is coded behind the keyframe of second 4: both are needed to see it.
    open_group = coded((0, True), (2, False), (1, False), (4, True), (3, False), (5, False), (6, True))
    assert needed_packets(open_group, [3.0]) == [True, True, True, True, True, False, False]
    # What is wanted before the first frame is the first frame, after the last one the last.
    assert needed_packets(closed, [-1.0]) == [True, True, False, False, False, False]
    assert needed_packets(closed, [9.0]) == [False, False, False, False, True, True]


def test_a_video_that_starts_late_shows_its_first_frame_before(video):
    times = [0.15 + number / 10 for number in range(19)]
    clip = decode_clip(video(times=times), FORMAT)
    assert shown_times(clip) == pytest.approx(last_at_or_before(times, WANTED), abs=0.016)


def test_sound_that_starts_late_has_silence_before(video):
    clip = decode_clip(video(sound=(0.5, 2.0)), FORMAT)
    assert clip.waveform.shape == (32000,)
    assert np.abs(clip.waveform[:7000]).max() == 0
    loud = np.flatnonzero(np.abs(clip.waveform.astype(int)) > 3000)
    assert loud[0] / 16000 == pytest.approx(0.5, abs=0.03)


def test_time_is_the_containers(video):
    """An MPEG transport stream may start at any time: both of its streams are moved alike."""
    path = video(container="mpegts", start=1.4, sound=(0.5, 2.0))
    with av.open(str(path)) as container:
        assert container.start_time > 1_000_000
    clip = decode_clip(path, FORMAT)
    times = [number / 10 for number in range(20)]
    assert shown_times(clip)[1:] == pytest.approx(last_at_or_before(times, WANTED)[1:], abs=0.016)
    loud = np.flatnonzero(np.abs(clip.waveform.astype(int)) > 3000)
    assert loud[0] / 16000 == pytest.approx(0.5, abs=0.03)


def test_sound_is_mixed_resampled_and_cut(video):
    clip = decode_clip(video(seconds=4.0, slope=50.0, sound=(0.0, 4.0)), FORMAT)
    assert clip.waveform.dtype == np.int16
    spectrum = np.abs(np.fft.rfft(clip.waveform[8000:24000].astype(float)))
    assert spectrum.argmax() == 440  # one second of sound: bins of 1 Hz
    assert np.abs(clip.waveform.astype(int)).max() == pytest.approx(0.3 * 32768, rel=0.05)


@pytest.mark.parametrize(
    ("size", "shape"), [((64, 48), (48, 64)), ((96, 128), (64, 48)), ((32, 24), (48, 64))]
)
def test_the_shorter_side_is_scaled_and_the_aspect_kept(video, size, shape):
    clip = decode_clip(video(size=size), FORMAT)
    assert clip.frames[0].shape == (*shape, 3)
    assert clip.frames[0].dtype == np.uint8


def test_a_phones_rotation_is_undone(tmp_path):
    """A frame that is bright on its left, and a file that asks players to turn it clockwise."""
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        tones = output.add_stream("aac", rate=16000, layout="mono")
        pixels = np.full((48, 64, 3), 20, dtype=np.uint8)
        pixels[:, :32] = 220
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        wave = np.sin(np.arange(32000) / 10).astype(np.float32)[None] * 0.3
        sound = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        sound.sample_rate = 16000
        output.mux(tones.encode(sound))
        output.mux(tones.encode(None))
    data = path.read_bytes()
    upright = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], dtype=">i4").tobytes()
    clockwise = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30], dtype=">i4").tobytes()
    # The matrices of the film's header and of its tracks; the first track is the video.
    track = data.index(upright, data.index(b"tkhd"))
    path.write_bytes(data[:track] + clockwise + data[track + 36 :])
    frame = decode_clip(path, FORMAT).frames[0]
    assert frame.shape == (64, 48, 3)
    assert frame[:24].mean() > 200
    assert frame[40:].mean() < 40


def refusal(path: Path):
    with pytest.raises(ClipRefusedError) as caught:
        decode_clip(path, FORMAT)
    return caught.value.reason


def test_a_missing_file_is_refused(tmp_path):
    assert refusal(tmp_path / "none.mp4") == "missing file"


def test_a_file_without_bytes_is_undecodable(tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    assert refusal(path) == "undecodable"


def test_a_file_that_is_no_video_is_undecodable(tmp_path):
    path = tmp_path / "page.mp4"
    path.write_text("<html>Video unavailable</html>" * 100)
    assert refusal(path) == "undecodable"


def test_a_file_that_was_cut_off_is_undecodable(video):
    path = video()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert refusal(path) == "undecodable"


def test_a_cut_off_file_whose_header_comes_first_is_refused(video):
    """The header is whole and promises what is not there."""
    path = video(container="mpegts", seconds=2.0)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert refusal(path) in ("undecodable", "too short")


def test_a_file_with_spoilt_bytes_is_undecodable(video):
    path = video(rate=30, codec_options={"crf": "1", "g": "100"}, size=(128, 96))
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + 4
    spoilt = np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8).tobytes()
    data[begin + 200 : begin + 200 + len(spoilt)] = spoilt
    path.write_bytes(data)
    assert refusal(path) == "undecodable"


def test_a_file_without_sound_is_refused(video):
    assert refusal(video(sound=None)) == "no audio track"


def test_a_file_without_a_video_is_refused(video):
    assert refusal(video(video=False)) == "no video track"


def test_a_silent_file_is_refused(video):
    assert refusal(video(amplitude=0.0)) == "silent"


@pytest.mark.parametrize(
    "options",
    [
        {"seconds": 1.7},
        {"sound": (0.0, 1.7)},
        {"times": [0.3 + number / 10 for number in range(17)]},
    ],
    ids=["video ends early", "sound ends early", "video starts late"],
)
def test_a_stream_that_lacks_a_tenth_of_the_clip_is_too_short(video, options):
    assert refusal(video(**options)) == "too short"


def test_a_stream_that_lacks_less_than_a_tenth_is_kept(video):
    clip = decode_clip(video(seconds=1.9, sound=(0.0, 1.9)), FORMAT)
    assert shown_times(clip)[-1] == pytest.approx(1.8, abs=0.016)
    assert np.abs(clip.waveform[int(1.95 * 16000) :]).max() < 100
