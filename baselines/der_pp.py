"""Dark experience replay with labels' place taken by the losses (DER++), as in the published comparison.

Source: Buzzega et al., NeurIPS 2020, arXiv 2004.07211, equation 6; G-JWLee/STELLA_code,
models/cl_methods/der_pp.py. What is stored with a clip are the pooled features of the masked pass it
came in with; later training does not change them. The published code rehearses as many clips as a full
batch also beside a last, shorter one; here as many as came in.
"""

import math
from typing import Any

from avbench.backbone import Tokens
from avbench.capacity import Capacity
from avbench.errors import InputError
from avbench.method import Method, Strategy
from avbench.rehearsal import RehearsalMemory
from avbench.stored_features import pooled_features, squared_distance, stored_features, with_features


class DERpp(Method):
    """Rehearse as ER does, and pull the pooled features of rehearsed clips to those stored with them.

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
        # Of the clips rehearsed in this step; None between steps.
        self.stored: Tokens | None = None

    def before_forward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Join rehearsed clips to the incoming ones."""
        if self.memory:
            rehearsed = self.memory.sample(len(strategy.mbatch))
            self.stored = stored_features(rehearsed)
            strategy.mbatch = strategy.mbatch + rehearsed

    def before_backward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Add the penalty of the rehearsed clips, then offer the incoming ones to the memory."""
        output, incoming = strategy.mb_output, strategy.incoming
        if self.stored is not None:
            features = pooled_features(output, slice(incoming, None))
            strategy.loss = strategy.loss + self.penalty * squared_distance(features, self.stored)
            self.stored = None
        features = pooled_features(output, slice(incoming))
        self.memory.add(with_features(strategy.mbatch[:incoming], features))
