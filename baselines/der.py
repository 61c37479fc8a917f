"""Dark experience replay with labels' place taken by features: no rehearsed clip enters the training loss.

Source: Buzzega et al., NeurIPS 2020, arXiv 2004.07211, equation 5; aimagelab/mammoth, models/der.py. There,
the logits of rehearsed samples are pulled to those stored when they came. Here nothing is classified: as in
the DER++ of the published comparison (`der-pp`), what is stored and pulled are the pooled features of each
modality. Unlike DER++, rehearsed clips are neither reconstructed nor contrasted, so they need a second pass,
without the decoder.

The published code rehearses as many clips as a full batch also beside a last, shorter one; here as many as
came in.
"""

import math
from typing import Any

from avbench.capacity import Capacity
from avbench.errors import InputError
from avbench.method import Method, Strategy
from avbench.rehearsal import RehearsalMemory
from avbench.stored_features import pooled_features, squared_distance, stored_features, with_features


class DER(Method):
    """Train on incoming clips alone, and pull the pooled features of rehearsed ones to the stored ones.

    Args:
        capacity: size of the rehearsal memory, in clips or in bytes.
        penalty: weight of the squared distance to the stored features, in each modality.
    """

    paper = "Dark Experience for General Continual Learning, NeurIPS 2020, arXiv 2004.07211"
    over_processes = True

    def __init__(self, *, capacity: Capacity = 2000, penalty: float = 0.5) -> None:
        super().__init__()
        if not 0 <= penalty < math.inf:
            raise InputError(f"penalty={penalty} is no weight: give 0 or more")
        self.penalty = penalty
        self.memory = RehearsalMemory(capacity)

    def before_backward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Add the penalty of as many rehearsed clips as came in, then offer these to the memory."""
        if self.memory:
            rehearsed = self.memory.sample(strategy.incoming)
            noise = strategy.model.draw_noise(rehearsed, self.generator("masking"))
            with strategy.autocast():
                features = strategy.model.pooled(rehearsed, noise)
            distance = squared_distance(features, stored_features(rehearsed))
            strategy.loss = strategy.loss + self.penalty * distance
        incoming = pooled_features(strategy.mb_output, slice(None))
        self.memory.add(with_features(strategy.mbatch, incoming))
