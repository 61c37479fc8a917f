"""Copies of the backbone that a method keeps: frozen teachers, and slow copies that follow the training."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from avbench.backbone.model import CAVMAE


def frozen_copy(model: CAVMAE) -> CAVMAE:
    """Return a copy of `model` that takes no gradient."""
    # Parameters are cloned by hand: deepcopy would take their gradients along, and copy what fake tensors
    # belong to.
    clones: dict[int, object] = {
        id(value): nn.Parameter(value.detach().clone(), requires_grad=False) for value in model.parameters()
    }
    clones |= {id(value): value.detach().clone() for value in model.buffers()}
    return copy.deepcopy(model, clones)


@torch.no_grad()
def move_towards(slow: CAVMAE, model: CAVMAE, decay: float) -> None:
    """Move a slow copy towards `model`: its parameters become decay x its own + (1 - decay) x the model's.

    Args:
        slow: the copy, changed in place.
        model: what it follows.
        decay: 0 to 1; at 1 the copy stays.
    """
    for own, other in zip(slow.parameters(), model.parameters(), strict=True):
        own.lerp_(other, 1 - decay)


def warmed_decay(decay: float, steps: int) -> float:
    """Return the decay of a slow copy after `steps` steps: smaller at first, so that the copy keeps up.

    min(1 - 1 / (steps + 1), decay), as mean teachers do (Tarvainen and Valpola, NeurIPS 2017) and CLS-ER and
    ESMER after them.
    """
    return min(1 - 1 / (steps + 1), decay)
