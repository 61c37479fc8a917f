"""Dark experience replay with labels' place taken by the losses (DER++), as in the published comparison.

Source: Buzzega et al., NeurIPS 2020, arXiv 2004.07211, equation 6; G-JWLee/STELLA_code,
models/cl_methods/der_pp.py. What is stored with a clip are the pooled features of the masked pass it
came in with; later training does not change them. The published code rehearses as many clips as a full
batch also beside a last, shorter one; here as many as came in.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from avbench.method import Method, Strategy
from avbench.rehearsal import RehearsalMemory


class DERpp(Method):
    """Rehearse as ER does, and pull the pooled features of rehearsed clips to those stored with them.

    Args:
        capacity: clips in the rehearsal memory.
        penalty: weight of the squared distance to the stored features, in each modality.
    """

    paper = "Dark Experience for General Continual Learning, NeurIPS 2020, arXiv 2004.07211"

    def __init__(self, *, capacity: int = 2000, penalty: float = 0.5) -> None:
        super().__init__()
        self.penalty = penalty
        self.memory = RehearsalMemory(capacity)
        # Of the clips rehearsed in this step, audio and video; None between steps.
        self.stored_features: tuple[Tensor, Tensor] | None = None

    def before_forward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Join rehearsed clips to the incoming ones."""
        if self.memory:
            rehearsed = self.memory.sample(len(strategy.mbatch))
            self.stored_features = rehearsed.extras["audio_features"], rehearsed.extras["video_features"]
            strategy.mbatch = strategy.mbatch + rehearsed

    def before_backward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Add the penalty of the rehearsed clips, then offer the incoming ones to the memory."""
        output, incoming = strategy.mb_output, strategy.incoming
        if self.stored_features is not None:
            audio, video = self.stored_features
            distance = F.mse_loss(output.audio_pooled[incoming:], audio)
            distance = distance + F.mse_loss(output.video_pooled[incoming:], video)
            strategy.loss = strategy.loss + self.penalty * distance
            self.stored_features = None
        self.memory.add(
            strategy.mbatch[:incoming].with_extras(
                audio_features=output.audio_pooled[:incoming].detach(),
                video_features=output.video_pooled[:incoming].detach(),
            )
        )
