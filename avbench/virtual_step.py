"""A step of the run's optimiser that is computed and not taken.

For methods that ask how a step on the incoming clips would change other clips' losses (MIR, GMED). The
published comparison copies the whole model before and restores it after; here the weights after the step
are tensors of their own, used through `torch.func.functional_call`: model and optimiser are never touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from avbench import processes
from avbench.errors import RunError
from avbench.passes import masked_losses, parameter_gradients, trained_parameters

if TYPE_CHECKING:
    from avbench.backbone.tokens import MaskNoise
    from avbench.clips import ClipBatch
    from avbench.method import Strategy


def virtual_step(strategy: Strategy, clips: ClipBatch, noise: MaskNoise) -> dict[str, Tensor]:
    """Return the parameters, by name and detached, as a step on the mean loss of `clips` would leave them.

    Of several processes it is one step on the clips of all: each must call it. The contrast is among each
    process's own.

    Args:
        strategy: of the run; its model and optimiser stay as they are.
        clips: what the step would be taken on; of several processes, this one's share, perhaps none.
        noise: masks them.
    """
    parameters = trained_parameters(strategy.model)
    share = len(clips) / processes.total(len(clips))
    if len(clips):
        loss = masked_losses(strategy, clips, noise).mean() * share
        gradients = parameter_gradients(loss, parameters)
    else:
        gradients = [torch.zeros_like(value) for value in parameters.values()]
    gradients = processes.summed_each(gradients)
    return {
        name: stepped(strategy.optimizer, parameter, gradient)
        for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True)
    }


def step_on_incoming(
    strategy: Strategy, generator: torch.Generator, *, wanted: bool
) -> dict[str, Tensor] | None:
    """Return the parameters as a step on the incoming clips would leave them, or None where nobody wants it.

    Of several processes all call this, those without clips too, and one that wants it is enough: the step is
    one on the clips of all.

    Args:
        strategy: of the run, with the incoming clips as `mbatch`.
        generator: draws the mask.
        wanted: whether this process has any use for it.
    """
    if not processes.anywhere(wanted):
        return None
    return virtual_step(strategy, strategy.mbatch, strategy.model.draw_noise(strategy.mbatch, generator))


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
