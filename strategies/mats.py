"""Motion-centric selection (MATS), of STELLA's ablation: the video patches that move, instead of AVCL's.

Motion-centric token selection is EVEREST's (Hwang et al., ICML 2024, arXiv 2211.10636); STELLA (ICML 2024,
arXiv 2310.08204) compares with it under the name MATS. Audio has no motion; its patches are drawn at random.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from avbench.capacity import Capacity
from avbench.clips import ClipBatch
from avbench.explanation import Explanation
from avbench.method import Strategy

from .importance import core_size
from .motion import most, motion
from .random import Random


class MATS(Random):
    """Train on the half of the video patches that move most, and on random audio patches.

    Args:
        capacity: size of the rehearsal memory, in clips or in bytes.
        core_ratio: share of a clip's patches that is selected.
        penalty: weight of the squared distance to the stored features, in each modality.
    """

    paper = "EVEREST, ICML 2024, arXiv 2211.10636; STELLA (ablation: MATS), ICML 2024, arXiv 2310.08204"
    over_processes = True

    def __init__(self, *, capacity: Capacity = 2000, core_ratio: float = 0.5, penalty: float = 0.5) -> None:
        super().__init__(capacity=capacity, core_ratio=core_ratio, penalty=penalty)

    def explain(self, strategy: Strategy, clips: ClipBatch) -> Explanation:
        """Return which patches of `clips` a training step would take, and how much those of video move."""
        found = super().explain(strategy, clips)
        moving = replace(found.video, importance=motion(clips.video, clips.geometry))
        return replace(found, video=moving, importance_is="motion")

    def video_patches(self, clips: ClipBatch) -> Tensor:
        """Return the places (B, K) of the video patches that move most."""
        return most(motion(clips.video, clips.geometry), core_size(clips.video.shape[1], self.core_ratio))
