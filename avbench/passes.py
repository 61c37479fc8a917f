"""Passes of the backbone that a method makes beside the training's own: of other clips, with other weights.

They run in the run's precision, take their masks as given, and leave model, optimiser and gradients alone.
Of several processes each makes them for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import functional_call

from avbench import processes
from avbench.objectives import MaskedOutput, clip_losses

if TYPE_CHECKING:
    from avbench.backbone.model import CAVMAE
    from avbench.backbone.tokens import MaskNoise
    from avbench.clips import ClipBatch
    from avbench.method import Strategy


def masked_pass(
    strategy: Strategy,
    clips: ClipBatch,
    noise: MaskNoise,
    *,
    model: CAVMAE | None = None,
    parameters: Mapping[str, Tensor] | None = None,
) -> MaskedOutput:
    """Run a masked pass of the model on `clips`.

    Args:
        strategy: of the run; gives the precision.
        clips: complete, or with selected patches.
        noise: from `model.draw_noise`.
        model: the one being trained by default; otherwise a copy.
        parameters: weights to run with instead of the model's, by name.
    """
    model = strategy.model if model is None else model
    with strategy.autocast(), processes.alone():
        output: MaskedOutput = (
            model(clips, noise)
            if parameters is None
            else functional_call(model, dict(parameters), (clips, noise))
        )
    return output


def masked_losses(
    strategy: Strategy,
    clips: ClipBatch,
    noise: MaskNoise,
    *,
    model: CAVMAE | None = None,
    parameters: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Return the training loss (B,) of each of `clips`; same arguments as `masked_pass`.

    The contrast is among `clips`.
    """
    output = masked_pass(strategy, clips, noise, model=model, parameters=parameters)
    return clip_losses(output, strategy.settings.contrastive_weight)


def trained_parameters(model: torch.nn.Module) -> dict[str, Tensor]:
    """Return the parameters of `model` that are trained, by name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def parameter_gradients(
    loss: Tensor, parameters: Mapping[str, Tensor], *, retain: bool = False
) -> list[Tensor]:
    """Return the gradient of `loss` for each of `parameters`, 0 where it does not depend on it.

    Nothing is added to the parameters' own gradients.

    Args:
        loss: a scalar with a graph.
        parameters: by name.
        retain: keep the graph for a further gradient.
    """
    found = torch.autograd.grad(
        loss, list(parameters.values()), retain_graph=retain, allow_unused=True, materialize_grads=True
    )
    return list(found)
