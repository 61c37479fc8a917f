"""A step of the run's optimiser that is computed and not taken.

For methods that ask how a step on the incoming clips would change other clips' losses (MIR, GMED). The
published comparison copies the whole model before and restores it after; here the weights after the step
are tensors of their own, used through `torch.func.functional_call`: model and optimiser are never touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from avbench.errors import RunError
from avbench.passes import masked_losses, parameter_gradients, trained_parameters

if TYPE_CHECKING:
    from avbench.backbone.tokens import MaskNoise
    from avbench.clips import ClipBatch
    from avbench.method import Strategy


def virtual_step(strategy: Strategy, clips: ClipBatch, noise: MaskNoise) -> dict[str, Tensor]:
    """Return the parameters, by name and detached, as a step on the mean loss of `clips` would leave them.

    Args:
        strategy: of the run; its model and optimiser stay as they are.
        clips: what the step would be taken on.
        noise: masks them.
    """
    parameters = trained_parameters(strategy.model)
    gradients = parameter_gradients(masked_losses(strategy, clips, noise).mean(), parameters)
    return {
        name: stepped(strategy.optimizer, parameter, gradient)
        for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True)
    }


@torch.no_grad()
def stepped(optimiser: torch.optim.Optimizer, parameter: Tensor, gradient: Tensor) -> Tensor:
    """Return `parameter` as a step of Adam with `gradient` would leave it, moments and counter included.

    Raises RunError for another optimiser than plain Adam, and for a parameter it does not train.
    """
    group = next(
        (group for group in optimiser.param_groups if any(parameter is each for each in group["params"])),
        None,
    )
    if group is None:
        raise RunError("a virtual step was asked for of a parameter that the optimiser does not train")
    if type(optimiser) is not torch.optim.Adam or group["amsgrad"] or group["maximize"]:
        raise RunError(f"a virtual step of {type(optimiser).__name__} is not known: only plain Adam's is")
    first, second = group["betas"]
    # A parameter has no state before its first step.
    state = optimiser.state.get(parameter) or {}
    gradient = gradient + group["weight_decay"] * parameter
    mean = gradient * (1 - first) + (first * state["exp_avg"] if state else 0)
    square = gradient.square() * (1 - second) + (second * state["exp_avg_sq"] if state else 0)
    # The counter is a tensor; nothing here reads a value back from the device.
    step = (state["step"] if state else torch.zeros(())).to(parameter.device).double() + 1
    scale = (square / (1 - second**step)).sqrt() + group["eps"]
    result: Tensor = parameter - group["lr"] / (1 - first**step) * mean / scale
    return result
