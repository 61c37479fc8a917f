"""Replay-guided Correlation Assessment (RCA): which patches go rather with a rehearsed clip's other half.

A patch that the past clip's query claims more than its own clip's does is likely to overwrite what was
learned; it is pruned with that probability. Source: STELLA (ICML 2024, arXiv 2310.08204), section 4.2;
published code models/cl_methods/stella.py.

Shapes: B clips, H heads, L patches of a modality (La audio, Lv video), Dh features of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avbench.matching import CrossAttention

from .importance import CORE_RATIO, CoreQueries, Importance, core_half


@dataclass(frozen=True)
class Correlation:
    """The probability that each patch belongs with the past clip; 0 outside the core half."""

    audio: Tensor  # (B, La)
    video: Tensor  # (B, Lv)


def correlation(
    relation: CrossAttention,
    scores: Importance,
    own: CoreQueries,
    past: CoreQueries,
    core_ratio: float = CORE_RATIO,
) -> Correlation:
    """Compare, for each core patch, the past clip's query with its own clip's, both of the other modality.

    For a video patch: the softmax over two scores, that of the past clip's audio query with the patch's
    key and the importance-weighted mean score of its own core audio queries with it; mean over heads.
    The same for audio patches with video queries. The weighted mean of scores is the score of the
    weighted mean query (they are linear in the query), so `own` is all it takes.

    Args:
        relation: the current clips' cross attention.
        scores: the current clips' importance, which tells the core half.
        own: the current clips' `core_queries`.
        past: the stored queries of one rehearsed clip for each current clip.
    """
    return Correlation(
        audio=_belongs_to_past(relation.audio_keys, scores.audio, own.video, past.video, core_ratio),
        video=_belongs_to_past(relation.video_keys, scores.video, own.audio, past.audio, core_ratio),
    )


def draw_pruned(probability: Tensor, generator: torch.Generator) -> Tensor:
    """Return which patches (B, L) are pruned, drawn independently with `probability` (B, L) each.

    The draw is made on the CPU, so that every device prunes alike.
    """
    return torch.rand(probability.shape, generator=generator).to(probability.device) < probability


def _belongs_to_past(keys: Tensor, scores: Tensor, own: Tensor, past: Tensor, core_ratio: float) -> Tensor:
    """Keys (B, H, L, Dh), queries (B, H, Dh) of the other modality: probabilities (B, L)."""
    scale = keys.shape[3] ** -0.5
    # In float32 also under autocast, as the scores that it compares.
    with torch.autocast(keys.device.type, enabled=False):
        difference = (keys @ (past - own).unsqueeze(3)).squeeze(3) * scale  # (B, H, L)
    # A softmax over two scores is the logistic function of their difference.
    probability = difference.sigmoid().mean(dim=1)
    core = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, core_half(scores, core_ratio), True)
    return torch.where(core, probability, 0.0)
