"""Rendered clips: what is seen says what is heard, measured on the pixels and on the waveform."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np
import pytest

from avbench.rendered.clips import (
    HUES,
    NOISES,
    SAMPLE_RATE,
    SHAPES,
    SIGHTS,
    SOUNDS,
    TIMBRES,
    Background,
    Canvas,
    ClassDesign,
    Sight,
    Sound,
    render_clip,
)

DESIGN = ClassDesign(Sight("disc", 0.36, "plain"), Sound(6, "pure", 0.0), Background(0.7, 3, 2))
# Long enough to measure frequencies, with frames enough to see when the light goes on.
LONG = Canvas(seconds=4.0, frames=32, pixels=64)


def clip(design=DESIGN, seed=0, canvas=LONG):
    return render_clip(design, np.random.default_rng(seed), canvas)


def heard(design=DESIGN, **sound):
    return replace(design, sound=replace(design.sound, **sound))


def rim(frames):
    """Where each frame is nearly white: a lit object's rim, and nothing else."""
    return frames.min(axis=-1) > 190


def lit(frames):
    return rim(frames).sum(axis=(1, 2)) > 0


def object_seen(frames):
    """Radius, across and down of a lit disc, in the middle of the clip, from the extent of its rim."""
    shown = np.flatnonzero(lit(frames))
    middle = shown[np.abs(shown - len(frames) / 2).argmin()]
    rows, columns = np.nonzero(rim(frames)[middle])
    return np.ptp(columns) / 2, (columns.max() + columns.min()) / 2, (rows.max() + rows.min()) / 2


def spectrum(waveform):
    """Frequencies in Hz, and their strength."""
    strength = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)), 4 * len(waveform)))
    return np.fft.rfftfreq(4 * len(waveform), 1 / SAMPLE_RATE), strength


def pitch(waveform):
    frequencies, strength = spectrum(waveform)
    return frequencies[strength.argmax()]


def loudness(waveform, centres, width=320):
    """Root mean square around each of `centres`."""
    return np.array([np.sqrt(np.mean(waveform[max(0, at - width) : at + width] ** 2)) for at in centres])


def correlation(first, second):
    return np.corrcoef(first, second)[0, 1]


def test_the_same_seed_renders_the_same_clip():
    first, second, other = clip(seed=3), clip(seed=3), clip(seed=4)
    assert np.array_equal(first.frames, second.frames)
    assert np.array_equal(first.waveform, second.waveform)
    assert not np.array_equal(first.frames, other.frames)
    assert not np.array_equal(first.waveform, other.waveform)


@pytest.mark.parametrize("canvas", [Canvas(), Canvas(0.5, 3, 32), Canvas(2.0, 5, 96)])
def test_clips_fill_their_canvas(canvas):
    made = clip(canvas=canvas)
    assert made.frames.shape == (canvas.frames, canvas.pixels, canvas.pixels, 3)
    assert made.frames.dtype == np.uint8
    assert made.waveform.shape == (round(canvas.seconds * SAMPLE_RATE),)
    assert made.waveform.dtype == np.float32
    assert np.abs(made.waveform).max() <= 1


def test_a_larger_picture_shows_the_same():
    small, large = clip().frames, clip(canvas=replace(LONG, pixels=128)).frames
    averaged = large.reshape(LONG.frames, 64, 2, 64, 2, 3).mean(axis=(2, 4))
    # What differs is pixel noise of 2% and the edges.
    assert np.abs(averaged - small).mean() < 6


@pytest.mark.parametrize("seed", range(6))
def test_the_object_is_lit_while_it_sounds_and_only_then(seed):
    made = clip(seed=seed)
    shown = lit(made.frames)
    assert 0.4 * LONG.frames < shown.sum() < 0.8 * LONG.frames
    centres = ((np.arange(LONG.frames) + 0.5) * LONG.samples / LONG.frames).astype(int)
    # Beside the moments when it starts and stops.
    settled = np.array([len(set(shown[max(0, at - 1) : at + 2])) == 1 for at in range(LONG.frames)])
    loud = loudness(made.waveform, centres)
    assert (loud[shown & settled] > 0.035).all()
    assert (loud[~shown & settled] < 0.035).all()
    assert (~shown & settled).any()


def test_silence_is_not_complete():
    for seed in range(4):
        made = clip(seed=seed)
        assert (
            0.005 < loudness(made.waveform, [LONG.samples - 400] if not lit(made.frames)[-1] else [400]) < 1
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_one_object_of_modest_size_is_lit(shape):
    design = replace(DESIGN, sight=Sight(shape, 0.0, "striped"))
    for seed in range(3):
        frames = clip(design, seed).frames
        whites = rim(frames)[lit(frames)]
        for frame in whites:
            rows, columns = np.nonzero(frame)
            # The radius is at most 15 of 64 pixels.
            assert max(np.ptp(rows), np.ptp(columns)) <= 34


@pytest.mark.parametrize("hue", HUES)
def test_the_lit_object_has_its_hue(hue):
    frames = clip(replace(DESIGN, sight=Sight("disc", hue, "plain"))).frames
    _, across, down = object_seen(frames)
    middle = np.flatnonzero(lit(frames))[lit(frames).sum() // 2]
    place = frames[middle, round(down) - 3 : round(down) + 4, round(across) - 3 : round(across) + 4]
    found, saturation, value = colorsys.rgb_to_hsv(*np.median(place, axis=(0, 1)) / 255)
    assert min(abs(found - hue), 1 - abs(found - hue)) < 0.03
    assert saturation > 0.8
    assert value > 0.9


def test_backgrounds_differ_in_hue_and_plaid():
    def average(background):
        return clip(replace(DESIGN, background=background)).frames.astype(float).mean(axis=0)

    first = average(Background(0.0, 2, 3))
    assert np.abs(first - average(Background(0.5, 2, 3))).mean() > 10
    assert np.abs(first - average(Background(0.0, 6, 1))).mean() > 4
    assert first[..., 0].mean() > 1.3 * first[..., 2].mean()


def test_larger_objects_sound_lower():
    made = [clip(seed=seed) for seed in range(16)]
    radii = [object_seen(each.frames)[0] for each in made]
    heights = [np.log2(pitch(each.waveform)) for each in made]
    assert correlation(radii, heights) < -0.95
    # A radius from 9 to 15 lowers the pitch by 0.28 octaves.
    assert np.polyfit(radii, heights, 1)[0] == pytest.approx(-0.14 / 3, rel=0.2)


def test_higher_objects_sound_brighter():
    downs, brightness = [], []
    for seed in range(12):
        made = clip(heard(pitch=3, timbre="bright"), seed)
        base = pitch(clip(heard(pitch=3), seed).waveform)
        frequencies, strength = spectrum(made.waveform)
        first, sixth = (strength[np.abs(frequencies - base * times) < base / 8].max() for times in (1, 6))
        downs.append(object_seen(made.frames)[2])
        brightness.append(np.log2(sixth / first))
    assert correlation(downs, brightness) < -0.95
    # Over the 36 rows where it can be, partials gain or lose 1.2 octaves of strength per octave.
    assert np.polyfit(downs, brightness, 1)[0] == pytest.approx(-1.2 * np.log2(6) / 36, rel=0.15)


def test_objects_to_the_right_tremble_faster():
    made = [clip(seed=seed) for seed in range(16)]
    acrosses = [object_seen(each.frames)[1] for each in made]

    def tremolo(waveform):
        envelope = loudness(waveform, range(160, len(waveform), 160), 160)
        sounding = envelope[np.flatnonzero(envelope > 0.035)[0] : np.flatnonzero(envelope > 0.035)[-1]]
        strength = np.abs(np.fft.rfft((sounding - sounding.mean()) * np.hanning(len(sounding)), 2048))
        return np.fft.rfftfreq(2048, 0.01)[strength.argmax()]

    rates = [tremolo(each.waveform) for each in made]
    assert correlation(acrosses, rates) > 0.95
    # From 3 Hz on the left to 12 Hz on the right of the places it can be at.
    assert np.polyval(np.polyfit(acrosses, rates, 1), [14, 50]) == pytest.approx([3, 12], abs=0.8)


def test_pitch_steps_are_a_third_of_an_octave():
    found = [pitch(clip(heard(pitch=step)).waveform) for step in range(12)]
    assert np.diff(np.log2(found)) == pytest.approx([0.33] * 11, abs=0.02)


def test_timbres_differ_in_their_partials():
    found = []
    for timbre in TIMBRES:
        frequencies, strength = spectrum(clip(heard(pitch=1, timbre=timbre)).waveform)
        base = pitch(clip(heard(pitch=1)).waveform)
        # Strength around each half multiple of the pitch.
        bands = [strength[np.abs(frequencies - base * half / 2) < base / 5].max() for half in range(1, 17)]
        found.append(np.array(bands) / np.linalg.norm(bands))
    likeness = np.array(found) @ np.array(found).T
    assert (likeness[~np.eye(len(TIMBRES), dtype=bool)] < 0.95).all()


def test_noisier_sounds_are_less_tonal():
    def share_of_the_strongest(noise):
        _, strength = spectrum(clip(heard(noise=noise)).waveform)
        return np.sort(strength)[-200:].sum() / strength.sum()

    shares = [share_of_the_strongest(noise) for noise in NOISES]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 2 * shares[-1]


def test_sound_does_not_depend_on_the_look():
    other = replace(DESIGN, sight=Sight("star", 0.0, "striped"), background=Background(0.1, 1, 1))
    assert pitch(clip(other).waveform) == pytest.approx(pitch(clip().waveform), rel=0.01)


def test_all_sights_and_sounds_are_different():
    assert len(SIGHTS) == len(set(SIGHTS)) == 72
    assert len(SOUNDS) == len(set(SOUNDS)) == 288


def test_a_shape_that_is_none_is_an_error():
    with pytest.raises(ValueError, match="hexagon"):
        clip(replace(DESIGN, sight=Sight("hexagon", 0.0, "plain")))
