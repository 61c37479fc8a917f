"""What a method that selects patches tells of its choice, for pictures: `Method.explain` returns it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Choice:
    """The choice among the L patches of one modality of B clips.

    Attributes:
        kept: (B, K) int64, distinct places of the patches that a training step would work with.
        importance: (B, L), the score by which they are drawn, not negative; None where there is none.
        pruning: (B, L), the probability 0 to 1 with which each is given up to the past; None likewise.
    """

    kept: Tensor
    importance: Tensor | None = None
    pruning: Tensor | None = None


@dataclass(frozen=True)
class Explanation:
    """What a training step would work with of some clips, and why.

    Attributes:
        audio, video: the choice in each modality.
        importance_is: what the importance means, in a few words, for captions.
    """

    audio: Choice
    video: Choice
    importance_is: str = ""
