"""What is known of patches, laid over the picture they are patches of, as arrays of pixels.

Pictures are (H, W, 3) floats in 0..1, row 0 on top. A grid of patches is (rows, columns), row 0 on top, and
divides the picture; spectrograms and their grids, which are kept time first, are turned by
`as_seen`. Plain arrays, no torch.
"""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from numpy.typing import ArrayLike, NDArray

Picture = NDArray[np.float64]

# Coloured, so that bright patches of a spectrogram differ from faded ones; as grey it stays in order.
_LOUDNESS = mpl.colormaps["magma"]
# How much of a picture shows through a colour that is laid over it, and how much of it is left where dimmed.
_SHOWS_THROUGH = 0.4
_LEFT = 0.18


def as_seen(spectrogram: NDArray[Any]) -> NDArray[Any]:
    """Turn a spectrogram or its grid (time, frequency) to (frequency, time), the highest on top."""
    return spectrogram.T[::-1]


def picture_of(frame: NDArray[np.uint8]) -> Picture:
    """Return a decoded frame (H, W, 3) as a picture."""
    return frame.astype(np.float64) / 255


def spectrogram_picture(spectrogram: NDArray[Any]) -> Picture:
    """Return a spectrogram (time, bins) as a picture (bins, time, 3), the louder the brighter."""
    values = as_seen(spectrogram).astype(np.float64)
    least, most = values.min(), values.max()
    shares = (values - least) / (most - least) if most > least else np.zeros_like(values)
    return np.asarray(_LOUDNESS(shares)[:, :, :3], dtype=np.float64)


def heated(picture: Picture, grid: ArrayLike, scale: ScalarMappable) -> Picture:
    """Return the picture in greys with each patch's value laid over it in colour.

    Args:
        picture: (H, W, 3).
        grid: (rows, columns) values; where they are NaN, nothing is laid over.
        scale: gives values their colours.
    """
    greys = np.repeat((picture @ np.array([0.299, 0.587, 0.114]))[:, :, None], 3, axis=2)
    values = _to_pixels(np.asarray(grid, dtype=np.float64), picture)
    heat = scale.to_rgba(values)[:, :, :3]
    mixed = _SHOWS_THROUGH * greys + (1 - _SHOWS_THROUGH) * heat
    return np.where(np.isnan(values)[:, :, None], greys, mixed)


def lit(picture: Picture, kept: NDArray[np.bool_]) -> Picture:
    """Return the picture with the patches that are not kept (rows, columns) faded almost to white."""
    shown = _to_pixels(kept, picture)[:, :, None]
    return np.where(shown, picture, 1 - _LEFT * (1 - picture))


def _to_pixels(grid: NDArray[Any], picture: Picture) -> NDArray[Any]:
    """Values of patches (rows, columns) as values of the picture's pixels (H, W)."""
    height, width = (size // patches for size, patches in zip(picture.shape[:2], grid.shape, strict=True))
    return grid.repeat(height, axis=0).repeat(width, axis=1)
