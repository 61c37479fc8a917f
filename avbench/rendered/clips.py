"""Rendered clips: frames and a waveform painted and synthesised from a class design and a generator.

Where no data set is at hand, clips are rendered. They pose the two problems of STELLA (ICML 2024):

- *Sparse correlation.* One object of modest size sounds, among silent distractors that look like other
  classes' objects, on a textured background. It sounds in a part of the clip only, and is visibly lit
  while it does. There is background noise.
- *Correlation overwriting.* A class is a pair of a sight (shape, hue, texture) and a sound (pitch,
  timbre, noisiness). Later tasks reuse the sights of earlier ones with other sounds; the background
  (`Background`) is the only thing that tells such classes apart.

Within a clip one law holds for all classes: the object's size drives the pitch (larger is lower), its
height in the frame the brightness of the sound, its horizontal place the rate of its tremolo.

Nothing here is meant to look or sound like the world. Results on rendered clips are results on rendered
clips; stores, records and tables carry the label `rendered`.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

SAMPLE_RATE = 16_000
# Objects are placed and sized on a field of 64 x 64, whatever the number of pixels of the frames.
FIELD = 64.0

SHAPES = ("disc", "square", "triangle", "cross", "ring", "star")
HUES = (0.0, 0.09, 0.17, 0.36, 0.55, 0.80)
TEXTURES = ("plain", "striped")
PITCHES = 12
TIMBRES = ("pure", "odd", "bright", "hollow", "bell", "buzz")
NOISES = (0.0, 0.25, 0.55, 1.0)

# Strengths of the partials of each timbre, and their frequencies in multiples of the pitch.
_PARTIALS: dict[str, tuple[tuple[float, float], ...]] = {
    "pure": ((1.0, 1.0),),
    "odd": ((1.0, 1.0), (3.0, 0.7), (5.0, 0.5), (7.0, 0.35)),
    "bright": ((1.0, 0.6), (2.0, 0.7), (3.0, 0.8), (4.0, 0.9), (5.0, 0.8), (6.0, 0.6)),
    "hollow": ((1.0, 0.25), (4.0, 1.0), (8.0, 0.7)),
    "bell": ((1.0, 1.0), (2.76, 0.8), (5.4, 0.6)),
    "buzz": ((0.5, 0.8), (1.0, 1.0), (1.5, 0.8), (2.0, 0.7), (2.5, 0.6)),
}


@dataclass(frozen=True)
class Sight:
    """What an object looks like."""

    shape: str
    hue: float
    texture: str


@dataclass(frozen=True)
class Sound:
    """What an object sounds like: pitch step 0..11, timbre, and the share of noise 0..1."""

    pitch: int
    timbre: str
    noise: float


@dataclass(frozen=True)
class Background:
    """What lies behind the objects of one task: a hue, and a plaid of two wave numbers per frame."""

    hue: float
    across: float
    down: float


@dataclass(frozen=True)
class ClassDesign:
    """A class: a sight that makes a sound before a background."""

    sight: Sight
    sound: Sound
    background: Background


@dataclass(frozen=True)
class Canvas:
    """The size of rendered clips: seconds, number of frames, and pixels of a frame's side."""

    seconds: float = 1.28
    frames: int = 8
    pixels: int = 64

    @property
    def samples(self) -> int:
        """Samples of the waveform."""
        return round(self.seconds * SAMPLE_RATE)


@dataclass(frozen=True)
class RenderedClip:
    """One clip: frames (T, H, W, 3) uint8 RGB and a waveform (samples,) float32 in -1..1 at 16 kHz."""

    frames: NDArray[np.uint8]
    waveform: Floats


SIGHTS: tuple[Sight, ...] = tuple(
    Sight(shape, hue, texture) for shape in SHAPES for hue in HUES for texture in TEXTURES
)
SOUNDS: tuple[Sound, ...] = tuple(
    Sound(pitch, timbre, noise) for pitch in range(PITCHES) for timbre in TIMBRES for noise in NOISES
)


@dataclass(frozen=True)
class _Object:
    """An object in one clip: place and size in pixels, drift in pixels a clip, brightness per frame."""

    sight: Sight
    x: float
    y: float
    radius: float
    drift: tuple[float, float]
    light: Floats


def render_clip(
    design: ClassDesign, generator: np.random.Generator, canvas: Canvas = Canvas()
) -> RenderedClip:
    """Render one clip of a class; the same design and generator state give the same clip to the bit."""
    radius = generator.uniform(9.0, 15.0)
    x, y = generator.uniform(14.0, FIELD - 14.0, size=2)
    start = generator.uniform(0.0, 0.4)
    stop = start + generator.uniform(0.5, 0.7)
    times = (np.arange(canvas.frames) + 0.5) / canvas.frames
    lit = ((times >= start) & (times <= stop)).astype(np.float32)
    sounding = _Object(design.sight, x, y, radius, _drift(generator), 0.45 + 0.55 * lit)
    silent = [_distractor(design.sight, canvas.frames, generator) for _ in range(2)]
    frames = _paint(design.background, [*silent, sounding], canvas, generator)
    waveform = _synthesise(design.sound, (radius, x, y), (start, min(stop, 1.0)), canvas, generator)
    return RenderedClip(frames, waveform)


def _drift(generator: np.random.Generator) -> tuple[float, float]:
    across, down = generator.uniform(-4.0, 4.0, size=2)
    return float(across), float(down)


def _distractor(sight: Sight, frames: int, generator: np.random.Generator) -> _Object:
    """Draw a silent object that looks like another class's: never lit, anywhere, any size."""
    others = [other for other in SIGHTS if other != sight]
    x, y = generator.uniform(6.0, FIELD - 6.0, size=2)
    return _Object(
        others[generator.integers(len(others))],
        x,
        y,
        generator.uniform(6.0, 11.0),
        _drift(generator),
        np.full(frames, 0.45, dtype=np.float32),
    )


def _paint(
    background: Background, objects: list[_Object], canvas: Canvas, generator: np.random.Generator
) -> NDArray[np.uint8]:
    pixel = np.float32(FIELD / canvas.pixels)
    rows, columns = np.mgrid[0 : canvas.pixels, 0 : canvas.pixels].astype(np.float32) * pixel
    phase_across, phase_down = generator.uniform(0, 2 * np.pi, size=2)
    plaid = np.sin(2 * np.pi * background.across * columns / FIELD + phase_across) + np.sin(
        2 * np.pi * background.down * rows / FIELD + phase_down
    )
    tone = np.array(colorsys.hsv_to_rgb(background.hue, 0.5, 0.34), dtype=np.float32)
    frames = np.empty((canvas.frames, canvas.pixels, canvas.pixels, 3), dtype=np.float32)
    frames[:] = tone * (1.0 + 0.22 * plaid[..., None])
    for item in objects:
        _paint_object(frames, item, rows, columns)
    frames += 0.02 * generator.standard_normal(frames.shape, dtype=np.float32)
    return (np.clip(frames, 0.0, 1.0) * 255).astype(np.uint8)


def _paint_object(frames: Floats, item: _Object, rows: Floats, columns: Floats) -> None:
    """Blend one object into all frames; a lit object also has a pale rim."""
    times = np.linspace(-0.5, 0.5, len(frames), dtype=np.float32)[:, None, None]
    sharpness = item.radius * frames.shape[1] / FIELD
    across = (columns - item.x - item.drift[0] * times) / item.radius
    down = (rows - item.y - item.drift[1] * times) / item.radius
    inside = _inside(item.sight.shape, across, down)
    cover = np.clip(inside * sharpness + 0.5, 0.0, 1.0)[..., None]
    light = item.light[:, None, None]
    value = light * (0.55 + 0.45 * (np.sin(across * 7.0) > 0) if item.sight.texture == "striped" else 1.0)
    hue = np.array(colorsys.hsv_to_rgb(item.sight.hue, 0.95, 1.0), dtype=np.float32)
    colour = value[..., None] * hue * np.ones_like(cover)
    rim = (np.clip(1.0 - np.abs(inside) * item.radius / 1.2, 0.0, 1.0) * (light > 0.5))[..., None]
    frames *= 1.0 - cover
    frames += cover * colour
    frames += rim * (1.0 - frames) * 0.9


def _inside(shape: str, across: Floats, down: Floats) -> Floats:
    """Signed distance to the edge in units of the radius, positive inside (approximate off the edge)."""
    distance: Floats
    if shape == "disc":
        distance = 1.0 - np.hypot(across, down)
    elif shape == "square":
        distance = 0.85 - np.maximum(np.abs(across), np.abs(down))
    elif shape == "triangle":
        distance = np.minimum(0.6 - down, (down + 1.0) * 0.5 - np.abs(across) * 0.87)
    elif shape == "cross":
        thin, long = np.minimum(np.abs(across), np.abs(down)), np.maximum(np.abs(across), np.abs(down))
        distance = np.minimum(0.32 - thin, 1.0 - long)
    elif shape == "ring":
        distance = 0.27 - np.abs(np.hypot(across, down) - 0.73)
    elif shape == "star":
        angle = np.arctan2(down, across)
        distance = 0.68 + 0.32 * np.cos(5 * angle) - np.hypot(across, down)
    else:
        raise ValueError(f"no such shape: {shape}")
    return distance


def _synthesise(
    sound: Sound,
    sounding: tuple[float, float, float],
    span: tuple[float, float],
    canvas: Canvas,
    generator: np.random.Generator,
) -> Floats:
    radius, x, y = sounding
    time = np.arange(canvas.samples, dtype=np.float32) / SAMPLE_RATE
    pitch = 150.0 * 2.0 ** (sound.pitch * 0.33 + (12.0 - radius) / 3.0 * 0.14)
    brightness = 1.0 - (y - 14.0) / (FIELD - 28.0)
    rate = 3.0 + 9.0 * (x - 14.0) / (FIELD - 28.0)
    tone = np.zeros(canvas.samples, dtype=np.float32)
    for multiple, strength in _PARTIALS[sound.timbre]:
        frequency = pitch * multiple
        if frequency < 0.45 * SAMPLE_RATE:
            tilt = float((frequency / 1000.0) ** (1.2 * brightness - 0.9))
            phase = generator.uniform(0, 2 * np.pi)
            tone += strength * tilt * np.sin(2 * np.pi * frequency * time + phase, dtype=np.float32)
    tone /= np.sqrt(np.mean(tone**2)) + 1e-6
    # A noisy sound is the tone under a carrier of noise around its second octave.
    carrier = np.sin(2 * np.pi * 3.0 * pitch * time, dtype=np.float32)
    hiss = _low_passed_noise(canvas.samples, 6, generator) * carrier
    hiss /= np.sqrt(np.mean(hiss**2)) + 1e-6
    voice = (1.0 - 0.6 * sound.noise) * tone + 0.8 * sound.noise * hiss
    tremolo = 1.0 + 0.7 * np.sin(2 * np.pi * rate * time + generator.uniform(0, 2 * np.pi))
    start, stop = span[0] * canvas.seconds, span[1] * canvas.seconds
    fade = np.clip((time - start) / 0.02, 0, 1) * np.clip((stop - time) / 0.02, 0, 1)
    street = _low_passed_noise(canvas.samples, 3, generator)
    street *= generator.uniform(0.01, 0.03) / (np.sqrt(np.mean(street**2)) + 1e-6)
    wave = 0.15 * voice * tremolo * fade + street
    waveform: Floats = np.clip(wave, -1.0, 1.0).astype(np.float32)
    return waveform


def _low_passed_noise(samples: int, width: int, generator: np.random.Generator) -> Floats:
    noise = generator.standard_normal(samples + width - 1, dtype=np.float32)
    return np.convolve(noise, np.ones(width, dtype=np.float32) / width, mode="valid")
