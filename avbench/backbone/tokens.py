"""What goes in and out of the backbone beside the clips: tokens, their places, and the noise that masks."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from avbench.clips import ClipBatch


class Tokens(NamedTuple):
    """Tokens of both modalities, (B, K, D) each, or with a mean over tokens taken (B, D)."""

    audio: Tensor
    video: Tensor


class Positions(NamedTuple):
    """Where each modality's tokens sit in the whole clip, (B, K) each; None: all in order."""

    audio: Tensor | None = None
    video: Tensor | None = None

    @classmethod
    def of(cls, batch: ClipBatch) -> Positions:
        """Return where the patches of `batch` sit."""
        return cls(batch.audio_positions, batch.video_positions)


COMPLETE = Positions()


class MaskNoise(NamedTuple):
    """Uniform noise (B, K) for each present patch: those with the least are kept, the rest masked."""

    audio: Tensor
    video: Tensor

    def of(self, clips: slice | Tensor) -> MaskNoise:
        """Return the noise of the clips at `clips`: a slice, or an index (n,)."""
        return MaskNoise(self.audio[clips], self.video[clips])
