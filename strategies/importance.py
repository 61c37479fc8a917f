"""Localized Patch Importance Scoring (LPIS): which patches of a clip have to do with its other modality.

Read off the cross attention of the matching module for true pairs. Source: STELLA (ICML 2024,
arXiv 2310.08204), section 4.1; published code models/cl_methods/stella.py.

Shapes: B clips, H heads, L patches of a modality (La audio, Lv video), Dh features of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from avbench.backbone import CAVMAE
from avbench.clips import MODALITIES, take
from avbench.errors import InputError
from avbench.matching import CrossAttention

TEMPERATURE = 0.4
CORE_RATIO = 0.5


@dataclass(frozen=True)
class Importance:
    """How much attention each patch gets from the other modality; sums to one over a clip's patches."""

    audio: Tensor  # (B, La)
    video: Tensor  # (B, Lv)


@dataclass(frozen=True)
class CoreQueries:
    """What rehearsal keeps of a clip's attention: one query for each modality and head."""

    audio: Tensor  # (B, H, Dh)
    video: Tensor  # (B, H, Dh)


def importance(relation: CrossAttention, temperature: float = TEMPERATURE) -> Importance:
    """Score every patch by the attention the other modality pays to it.

    The softmax over keys at `temperature` of the raw scores, averaged over heads and queries: audio
    queries score video patches, video queries score audio patches.
    """
    return Importance(
        audio=(relation.scores_va / temperature).softmax(dim=3).mean(dim=(1, 2)),
        video=(relation.scores_av / temperature).softmax(dim=3).mean(dim=(1, 2)),
    )


def core_half(scores: Tensor, core_ratio: float = CORE_RATIO) -> Tensor:
    """Return the places (B, int(L * core_ratio)) of each clip's most important patches, best first.

    Args:
        scores: (B, L) importance. Equal scores keep the order of the patches.
    """
    return scores.argsort(dim=1, descending=True, stable=True)[:, : core_size(scores.shape[1], core_ratio)]


def core_size(patches: int, core_ratio: float = CORE_RATIO) -> int:
    """Return how many of a clip's `patches` make its core half, which is also the selection's budget."""
    return int(patches * core_ratio)


def check_core_ratio(core_ratio: float, model: CAVMAE | None = None) -> None:
    """Raise InputError where `core_ratio` is no share, or leaves `model` nothing to reconstruct."""
    if not 0 < core_ratio <= 1:
        raise InputError(f"core_ratio={core_ratio} is not a share: give more than 0 and at most 1")
    if model is None:
        return
    for modality in MODALITIES:
        patches, kept = model.geometry.patches(modality), model.kept_patches(modality)
        selected = core_size(patches, core_ratio)
        if kept >= selected:
            raise InputError(
                f"core_ratio={core_ratio} selects {selected} of {patches} {modality} patches, but "
                f"mask_ratio={model.mask_ratio} encodes {kept} of them, which leaves none to "
                "reconstruct: give a larger core_ratio or a larger mask_ratio"
            )


def core_queries(relation: CrossAttention, scores: Importance, core_ratio: float = CORE_RATIO) -> CoreQueries:
    """Return the importance-weighted mean query of each modality's core half."""
    return CoreQueries(
        audio=_mean_query(relation.audio_queries, scores.audio, core_ratio),
        video=_mean_query(relation.video_queries, scores.video, core_ratio),
    )


def _mean_query(queries: Tensor, scores: Tensor, core_ratio: float) -> Tensor:
    """Queries (B, H, L, Dh) weighted by scores (B, L) over the core half: (B, H, Dh)."""
    core = core_half(scores, core_ratio)
    weights = take(scores, core)
    weights = weights / weights.sum(dim=1, keepdim=True)
    core_of_heads = take(queries.transpose(1, 2), core)  # (B, K, H, Dh)
    return (core_of_heads * weights[:, :, None, None]).sum(dim=1)
