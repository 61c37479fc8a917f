"""Position embeddings: the sine-cosine tables they start as, and learned ones stretched to another grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from avbench.clips import ClipGeometry


def sine_cosine(width: int, rows: int, columns: int) -> Tensor:
    """Return the sine-cosine embedding (rows * columns, width) of a grid, row by row, float32.

    The first half of the features encodes the column, the second half the row; each half is the sines,
    then the cosines, of the index at width/4 frequencies from 1 down to nearly 1/10000, as masked
    autoencoders have it (He et al., CVPR 2022, arXiv 2111.06377).
    """
    frequencies = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))

    def encode(index: Tensor) -> Tensor:
        angle = index[:, None] * frequencies
        return torch.cat([angle.sin(), angle.cos()], dim=1)

    row = torch.arange(rows, dtype=torch.float64).repeat_interleave(columns)
    column = torch.arange(columns, dtype=torch.float64).repeat(rows)
    return torch.cat([encode(column), encode(row)], dim=1).float()


def video_positions(width: int, geometry: ClipGeometry) -> Tensor:
    """Return the starting table (1, Lv, width) of video: over (row, column), the same for every frame."""
    frames, rows, columns = geometry.video_grid
    return sine_cosine(width, rows, columns).repeat(frames, 1)[None]


def audio_positions(width: int, geometry: ClipGeometry) -> Tensor:
    """Return the starting table (1, La, width) of audio: over (time, frequency).

    STELLA's code fills its time-major table as if tokens were frequency-major, as they are in CAV-MAE
    from where it came; the table is learned, so that shows only at the start. Here every token starts
    with its own place: the first half of the features encodes time, the second half frequency, as in
    CAV-MAE.
    """
    steps, bands = geometry.audio_grid
    by_frequency = sine_cosine(width, bands, steps).reshape(bands, steps, width)
    return by_frequency.transpose(0, 1).reshape(1, steps * bands, width)


def stretch(table: Tensor, grid: tuple[int, int], onto: tuple[int, int]) -> Tensor:
    """Return a table (1, rows * columns, D) of `grid` interpolated (bicubic) onto another grid."""
    if grid == onto:
        return table
    image = table.float().reshape(1, *grid, -1).permute(0, 3, 1, 2)
    stretched = F.interpolate(image, size=onto, mode="bicubic", align_corners=False)
    return stretched.permute(0, 2, 3, 1).reshape(1, onto[0] * onto[1], -1).to(table)
