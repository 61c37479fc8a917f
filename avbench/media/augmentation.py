"""The augmentations of STELLA's published pipeline (data/transforms/{video,audio}.py there).

Frames: one multi-scale crop for all frames of a clip, resized to a square; no flip. Sound: uniform noise on
the spectrogram, then a roll in time. In evaluation frames are resized to the square as they are, which
squeezes wide videos, as published.

Frames are uint8 (T, H, W, 3). Draws come from a NumPy generator that is passed in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

SCALES = (1.0, 0.875, 0.75)
# Width and height are scaled apart, by at most so many steps of SCALES.
_MAX_DISTORTION = 1
# A crop this close to the size wanted is taken at that size.
_NEAR_PIXELS = 3
# Places of a crop, in quarters of the room left: corners, middle, middles of the sides, quarter points.
_PLACES = (
    (0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3),
)  # fmt: skip
_SIZE_PAIRS = tuple(
    (across, down)
    for across in range(len(SCALES))
    for down in range(len(SCALES))
    if abs(across - down) <= _MAX_DISTORTION
)
NOISE_STRENGTH = 0.1


class Crop(NamedTuple):
    """A part of a frame, in pixels."""

    left: int
    top: int
    width: int
    height: int


def draw_crop(width: int, height: int, size: int, generator: np.random.Generator) -> Crop:
    """Draw a multi-scale crop of frames of `width` x `height` that are to become `size` x `size`.

    Sides are 1, 0.875 or 0.75 of the frame's shorter side, at most one step apart; there are 13 places.
    """
    shorter = min(width, height)
    sides = [int(shorter * scale) for scale in SCALES]
    sides = [size if abs(side - size) < _NEAR_PIXELS and size <= shorter else side for side in sides]
    across, down = _SIZE_PAIRS[generator.integers(len(_SIZE_PAIRS))]
    crop_width, crop_height = sides[across], sides[down]
    right, below = _PLACES[generator.integers(len(_PLACES))]
    left = right * ((width - crop_width) // 4)
    top = below * ((height - crop_height) // 4)
    return Crop(left, top, crop_width, crop_height)


def crop_and_resize(frames: NDArray[np.uint8], crop: Crop, size: int) -> Tensor:
    """Return the cropped part of frames (T, H, W, 3), resized: uint8 (T, size, size, 3)."""
    part = frames[:, crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
    return resize(part, size)


def resize(frames: NDArray[np.uint8], size: int) -> Tensor:
    """Return frames (T, H, W, 3) as squares, bilinear and antialiased: uint8 (T, size, size, 3)."""
    tensor = torch.from_numpy(frames)
    if frames.shape[1:3] == (size, size):
        return tensor
    # A view with channels last in memory, for which torch has a fast path on bytes.
    planes = tensor.permute(0, 3, 1, 2)
    scaled = functional.interpolate(planes, (size, size), mode="bilinear", antialias=True)
    return scaled.permute(0, 2, 3, 1)


def noise_and_roll(spectrogram: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Return a spectrogram (time, bins) with noise added, then rolled in time.

    The noise is uniform on 0..1, times a strength drawn for the clip, uniform on 0..0.1. The roll is by
    -time .. time - 1 frames; what leaves at one end comes in at the other.
    """
    time = len(spectrogram)
    strength = np.float32(generator.random() * NOISE_STRENGTH)
    noisy = spectrogram + generator.random(spectrogram.shape, dtype=np.float32) * strength
    return np.roll(noisy, int(generator.integers(-time, time)), axis=0)
