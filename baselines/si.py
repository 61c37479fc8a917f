"""Synaptic intelligence: parameters are held the firmer the more they lowered the losses of past tasks.

Source: Zenke et al., ICML 2017, arXiv 1703.04200, equations 3 to 5; ganguli-lab/pathint,
pathint/protocols.py.
Along each task's training every parameter collects its share in the loss's fall, the path integral of
-gradient x movement (equation 3). At the task's end that share, over the squared way it went plus a damping,
is added to its importance (equation 5), and the penalty is strength x the sum of importance x (parameter -
where the last task left it)^2 (equation 4). Nothing in it asks for labels: the loss is that of pre-training.

- The gradient is that of the loss without the penalty, whose own is taken out of what backpropagation left.
- The movement is measured, not computed, as the optimiser is Adam. aimagelab/mammoth, models/si.py, takes
  learning rate x gradient^2 instead, which is a movement of plain gradient descent; we follow the paper.
- As in pathint, and not in the paper, an importance that noise made negative becomes 0: it would push away.
"""

import math
from typing import Any

import torch
from torch import Tensor

from avbench.errors import InputError
from avbench.method import Method, Strategy
from avbench.passes import trained_parameters


class SI(Method):
    """Hold each parameter where the last task left it, the firmer the more it lowered past losses.

    The published values are those of the classification of small images: strength 0.1 with damping 0.001
    on CIFAR, whose code is published (fig_transfer_cifar/train.py), and 0.1 with 0.1 on permuted MNIST. The
    former are the defaults: Adam's small steps move parameters by far less than the root of 0.1 in a task, so
    that a damping of 0.1 would drown the way they went.

    Args:
        strength: of the pull (c).
        damping: added to the squared way that a parameter went in a task (xi).
    """

    paper = "Continual Learning Through Synaptic Intelligence, ICML 2017, arXiv 1703.04200"
    needs_boundaries = True
    over_processes = True
    # Importance, anchor, and what the task that is running adds to the importance.
    model_copies = 3

    def __init__(self, *, strength: float = 0.1, damping: float = 0.001) -> None:
        super().__init__()
        if not 0 <= strength < math.inf:
            raise InputError(f"strength={strength} is no weight: give 0 or more")
        if not 0 < damping < math.inf:
            raise InputError(f"damping={damping} is not positive: give more than 0")
        self.strength = strength
        self.damping = damping
        # All by parameter name.
        self.anchor: dict[str, Tensor] = {}
        self.share: dict[str, Tensor] = {}
        self.importance: dict[str, Tensor] = {}
        # Parameters before the update that is under way; empty between steps.
        self.before: dict[str, Tensor] = {}

    def attach(self, strategy: Strategy) -> None:
        """Get ready to train: the first task starts where the backbone starts."""
        super().attach(strategy)
        self._start_from(trained_parameters(strategy.model))

    def before_backward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Add the pull towards the anchor, from the second task on."""
        if self.importance:
            terms = [
                (self.importance[name] * (value - self.anchor[name]).square()).sum()
                for name, value in trained_parameters(strategy.model).items()
            ]
            strategy.loss = strategy.loss + self.strength * torch.stack(terms).sum()

    def before_update(self, strategy: Strategy, **kwargs: Any) -> None:
        """Note where the parameters are."""
        self.before = {
            name: value.detach().clone() for name, value in trained_parameters(strategy.model).items()
        }

    @torch.no_grad()
    def after_update(self, strategy: Strategy, **kwargs: Any) -> None:
        """Count what each parameter's movement lowered the loss by, to first order."""
        for name, value in trained_parameters(strategy.model).items():
            # Adam leaves gradients as they are, so that they are still those of the update.
            gradient, before = value.grad, self.before[name]
            if gradient is None:
                continue
            if self.importance:
                pull = self.importance[name] * (before - self.anchor[name])
                gradient = gradient - 2 * self.strength * pull
            self.share[name].addcmul_(gradient, value - before, value=-1)
        self.before = {}

    @torch.no_grad()
    def after_training_exp(self, strategy: Strategy, **kwargs: Any) -> None:
        """Add what the task found to the importance, and start anew from here."""
        parameters = trained_parameters(strategy.model)
        self.importance = {
            name: consolidated(
                self.importance.get(name, torch.zeros_like(value)),
                self.share[name],
                value - self.anchor[name],
                self.damping,
            )
            for name, value in parameters.items()
        }
        self._start_from(parameters)

    def _start_from(self, parameters: dict[str, Tensor]) -> None:
        self.anchor = {name: value.detach().clone() for name, value in parameters.items()}
        self.share = {name: torch.zeros_like(value) for name, value in parameters.items()}


def consolidated(importance: Tensor, share: Tensor, moved: Tensor, damping: float) -> Tensor:
    """Return a parameter's importance after a task, 0 or more: equation 5. All tensors are of its shape.

    Args:
        importance: before the task.
        share: what the parameter lowered the task's loss by.
        moved: how far it went in the task.
        damping: more than 0; bounds the importance of a parameter that hardly moved.
    """
    return (importance + share / (moved.square() + damping)).clamp(min=0)
