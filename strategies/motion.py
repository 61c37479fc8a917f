"""How much video patches move, and the patches that move most: motion-centric selection of the ablation."""

from __future__ import annotations

import torch
from torch import Tensor

from avbench.clips import ClipGeometry


def motion(video: Tensor, geometry: ClipGeometry) -> Tensor:
    """Return how much each video patch changed: its distance to the same place in the frame before.

    Motion-centric token selection (EVEREST, ICML 2024, arXiv 2211.10636) keeps the patches with the largest.
    It compares learned patch embeddings; here it is the root mean squared difference of pixel values, which
    needs no model. The first frame has none before it and is compared with the one after.

    Args:
        video: (B, Lv, P) patches of whole clips, uint8 or floating point.

    Returns:
        (B, Lv) float32; all zero where the geometry has a single frame.
    """
    frames, rows, columns = geometry.video_grid
    places = video.reshape(len(video), frames, rows * columns, -1)
    if frames == 1:
        return torch.zeros(video.shape[:2], device=video.device)
    # Frame by frame: float copies of all frames at once would be four times the clips' own bytes.
    steps = [
        (places[:, frame].float() - places[:, frame - 1].float()).square().mean(dim=2).sqrt()
        for frame in range(1, frames)
    ]
    return torch.stack([steps[0], *steps], dim=1).flatten(1)


def most(scores: Tensor, patches: int) -> Tensor:
    """Return the places (B, patches) of the highest scores (B, L), highest first; equal ones in order."""
    return scores.argsort(dim=1, descending=True, stable=True)[:, :patches]
