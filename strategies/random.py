"""Random selection, of STELLA's ablation: AVCL's saving without its choice of patches.

Half of each clip's patches, each as likely, and DER++ for the rest: whole clips are stored, with their pooled
features, and rehearsed ones are selected anew. No matching module. Source: STELLA (ICML 2024,
arXiv 2310.08204), ablation "Random".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avbench.backbone import Tokens
from avbench.capacity import Capacity
from avbench.clips import ClipBatch
from avbench.errors import InputError
from avbench.explanation import Choice, Explanation
from avbench.method import Method, Strategy
from avbench.rehearsal import RehearsalMemory
from avbench.stored_features import pooled_features, squared_distance, stored_features, with_features

from .importance import check_core_ratio, core_size
from .selection import draw_order


class Random(Method):
    """Train on half of each clip's patches, drawn at random, and rehearse as DER++ does.

    Args:
        capacity: size of the rehearsal memory, in clips or in bytes.
        core_ratio: share of a clip's patches that is selected.
        penalty: weight of the squared distance to the stored features, in each modality.
    """

    paper = "STELLA (ablation: Random), ICML 2024, arXiv 2310.08204"
    over_processes = True

    def __init__(self, *, capacity: Capacity = 2000, core_ratio: float = 0.5, penalty: float = 0.5) -> None:
        super().__init__()
        check_core_ratio(core_ratio)
        if not 0 <= penalty < float("inf"):
            raise InputError(f"penalty={penalty} is not a weight: give 0 or more")
        self.core_ratio, self.penalty = core_ratio, penalty
        self.memory = RehearsalMemory(capacity)
        # Of the current step; None between steps.
        self.incoming: ClipBatch | None = None
        self.stored: Tokens | None = None

    def attach(self, strategy: Strategy) -> None:
        """Get ready to train. Raises InputError where the selected half leaves nothing to reconstruct."""
        super().attach(strategy)
        check_core_ratio(self.core_ratio, strategy.model)

    def before_forward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Join rehearsed clips to the incoming ones, and leave of both only the selected patches."""
        clips = self.incoming = strategy.mbatch
        if self.memory:
            rehearsed = self.memory.sample(len(clips))
            self.stored = stored_features(rehearsed)
            clips = clips + rehearsed
        strategy.mbatch = clips.select(audio=self.audio_patches(clips), video=self.video_patches(clips))

    def before_backward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Add the penalty of the rehearsed clips, then offer the incoming ones, whole, to the memory."""
        assert self.incoming is not None
        output, count = strategy.mb_output, strategy.incoming
        if self.stored is not None:
            features = pooled_features(output, slice(count, None))
            strategy.loss = strategy.loss + self.penalty * squared_distance(features, self.stored)
        self.memory.add(with_features(self.incoming, pooled_features(output, slice(count))))
        self.incoming = self.stored = None

    def explain(self, strategy: Strategy, clips: ClipBatch) -> Explanation:
        """Return which patches of `clips` a training step would draw."""
        return Explanation(audio=Choice(self.audio_patches(clips)), video=Choice(self.video_patches(clips)))

    def audio_patches(self, clips: ClipBatch) -> Tensor:
        """Return the places (B, K) of the audio patches to train with."""
        return self._drawn(clips.audio)

    def video_patches(self, clips: ClipBatch) -> Tensor:
        """Return the places (B, K) of the video patches to train with."""
        return self._drawn(clips.video)

    def _drawn(self, patches: Tensor) -> Tensor:
        order = draw_order(torch.ones(patches.shape[:2]), self.generator("selection"))
        return order[:, : core_size(patches.shape[1], self.core_ratio)].to(patches.device)
