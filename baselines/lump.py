"""Lifelong unsupervised mixup (LUMP): train on mixtures of incoming and rehearsed clips.

Source: Madaan et al., ICLR 2022, arXiv 2110.06976, equation 4; published comparison G-JWLee/STELLA_code,
models/cl_methods/lump.py. One weight is drawn a batch; frames are mixed as normalised pixels, sounds as
normalised log-mel values, and the mixture is both what is seen and what is reconstructed. The memory takes
clips as they came.

Where fewer clips are held than came in the published code fails; here the rehearsed are gone through again.
Of several processes each draws the weight of its clips, as every micro-batch has a weight of its own.
"""

from dataclasses import replace
from typing import Any

import torch

from avbench.capacity import Capacity
from avbench.clips import ClipBatch
from avbench.errors import InputError
from avbench.method import Method, Strategy
from avbench.rehearsal import RehearsalMemory


class LUMP(Method):
    """Mix every batch with rehearsed clips by a weight drawn from a Beta distribution; join nothing.

    Args:
        capacity: size of the rehearsal memory, in clips or in bytes.
        alpha: both parameters of the Beta distribution; below 1 most mixtures are nearly one of the two.
    """

    paper = "Representational Continuity for Unsupervised Continual Learning, ICLR 2022, arXiv 2110.06976"
    over_processes = True

    def __init__(self, *, capacity: Capacity = 2000, alpha: float = 0.5) -> None:
        super().__init__()
        if not 0 < alpha < float("inf"):
            raise InputError(f"alpha={alpha} is no parameter of a Beta distribution: give more than 0")
        self.alpha = alpha
        self.memory = RehearsalMemory(capacity)

    def before_forward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Replace the incoming clips by mixtures, and offer them as they came to the memory."""
        incoming = strategy.mbatch
        if self.memory:
            rehearsed = self.memory.sample(len(incoming))
            partner = torch.arange(len(incoming), device=incoming.device) % len(rehearsed)
            weight = self.numpy_generator("mixture").beta(self.alpha, self.alpha)
            strategy.mbatch = mixture(incoming, rehearsed[partner], weight)
        self.memory.add(incoming)


def mixture(incoming: ClipBatch, rehearsed: ClipBatch, weight: float) -> ClipBatch:
    """Return weight x incoming + (1 - weight) x rehearsed, clip by clip, with normalised frames."""
    first, second = incoming.normalised(), rehearsed.normalised()
    return replace(
        first,
        video=weight * first.video.float() + (1 - weight) * second.video.float(),
        audio=weight * first.audio.float() + (1 - weight) * second.audio.float(),
    )
