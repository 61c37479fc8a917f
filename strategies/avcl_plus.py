"""AVCL+: AVCL that stores only the selected half of each clip (STELLA+ in ICML 2024, arXiv 2310.08204).

A stored half takes about half the bytes of a whole clip, so that the same bytes hold twice the clips. It
is kept with the places of its patches, its pooled features and its queries, and is rehearsed as it was
stored: nothing is selected anew, so importance and pruning probabilities are not needed.

The published code of this variant (models/cl_methods/stella_p.py) does not run, as classes it imports are
missing; it tells what is stored with a half, and the rest is as in `avcl`. It keeps the order of tokens by
sorting them; here positions travel with the patches.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from avbench.capacity import Capacity
from avbench.clips import ClipBatch
from avbench.method import Strategy
from avbench.stored_features import stored_features

from .avcl import AVCL

STORED = ("audio_queries", "video_queries")


class AVCLPlus(AVCL):
    """Train as AVCL does, and keep of each clip only the half that was selected when it came.

    Args:
        capacity: size of the rehearsal memory, in half clips or in bytes.
        core_ratio: share of a clip's patches that is selected and stored, and size of the core half.
        chunk: time steps of audio that are drawn together.
        temperature: of the attention that scores importance.
        penalty: weight of the squared distance to the stored features, in each modality.
    """

    over_processes = True

    def __init__(
        self,
        *,
        capacity: Capacity = 2000,
        core_ratio: float = 0.5,
        chunk: int = 4,
        temperature: float = 0.4,
        penalty: float = 0.5,
    ) -> None:
        super().__init__(
            capacity=capacity, core_ratio=core_ratio, chunk=chunk, temperature=temperature, penalty=penalty
        )

    def before_forward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Leave of the incoming clips only the selected patches, and join rehearsed halves to them."""
        rehearsed = self.memory.sample(len(strategy.mbatch)) if self.memory else None
        incoming = self._assess(strategy, strategy.mbatch, rehearsed)
        if rehearsed is None:
            self.incoming = strategy.mbatch = _to_store(self._select_first(incoming))
        else:
            self.incoming = _to_store(self._select(incoming))
            self.stored = stored_features(rehearsed)
            strategy.mbatch = self.incoming + rehearsed


def _to_store(selected: ClipBatch) -> ClipBatch:
    """Selected halves with what is kept beside them, without what only choosing them needed."""
    return replace(selected, extras={name: selected.extras[name] for name in STORED})
