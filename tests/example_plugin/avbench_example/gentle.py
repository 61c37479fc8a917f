"""Fine-tuning with smaller gradients: the least that is a method."""

from __future__ import annotations

from typing import Any

from avbench.errors import InputError
from avbench.method import Method, Strategy


class Gentle(Method):
    """Train on the stream as it comes, with gradients that are at most so long.

    Args:
        longest: greatest length of the gradient of all parameters together.
    """

    paper = "On the difficulty of training recurrent neural networks, ICML 2013, arXiv 1211.5063"

    def __init__(self, *, longest: float = 1.0) -> None:
        super().__init__()
        if not longest > 0:
            raise InputError(f"longest={longest} is not positive")
        self.longest = longest

    def before_update(self, strategy: Strategy, **kwargs: Any) -> None:
        """Shorten the gradient where it is longer."""
        gradients = [each.grad for each in strategy.model.parameters() if each.grad is not None]
        length = sum(gradient.square().sum() for gradient in gradients) ** 0.5
        for gradient in gradients:
            gradient.mul_((self.longest / (length + 1e-6)).clamp(max=1))
