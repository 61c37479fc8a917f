"""The plane in which the embeddings of sounds and of videos are drawn: two principal components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avbench.retrieval import unit_rows


@dataclass(frozen=True)
class Plane:
    """Embeddings of clips as points of a plane; row n of both is one clip.

    Attributes:
        audio, video: (N, 2) float32, the mean of all of both taken out.
        shares: (2,) float64, the share of the variance of all that lies along each axis, 0 to 1.
    """

    audio: NDArray[np.float32]
    video: NDArray[np.float32]
    shares: NDArray[np.float64]


def principal_plane(audio: ArrayLike, video: ArrayLike) -> Plane:
    """Project unit embeddings on the first two principal components of sounds and videos together.

    An axis points to where the embedding's largest coordinate (by size) along it is positive, so that the
    same embeddings always give the same picture.

    Args:
        audio, video: (N, D) embeddings of the same clips, of any length; N >= 1, D >= 2.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or nothing that varies.
    """
    heard, seen = unit_rows(audio, "audio embeddings"), unit_rows(video, "video embeddings")
    if heard.shape != seen.shape or not len(heard) or heard.shape[1] < 2:
        raise ValueError(f"cannot draw {heard.shape} sounds with {seen.shape} videos")
    together = np.concatenate([heard, seen])
    together -= together.mean(axis=0)
    _, sizes, axes = np.linalg.svd(together, full_matrices=False)
    variance = sizes**2
    if not variance.sum() > 0:
        raise ValueError("all embeddings are one: nothing varies that could be drawn")
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    points = (together @ (axes * np.sign(largest))[:2].T).astype(np.float32)
    return Plane(points[: len(heard)], points[len(heard) :], variance[:2] / variance.sum())
