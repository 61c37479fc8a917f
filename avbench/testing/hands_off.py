"""The check that a method leaves alone what is not its own: parameters move by the optimiser's step only."""

from __future__ import annotations

from typing import Any

import torch
from avalanche.core import BaseSGDPlugin

from avbench.method import HOOKS, STEP_HOOKS, Method
from avbench.testing.finding import Violation
from avbench.testing.tiny_run import TinyRun, first_difference, two_tasks


def hands_off(method: type[Method]) -> None:
    """No hook of it changes parameters, optimiser or the run's generators; it only adds to the loss.

    Gradients may be changed, parameters may be added to the optimiser in `attach`, and the method's own
    generators may be drawn from.
    """
    TinyRun(_watched(method)).train(*two_tasks())


def _watched(method: type[Method]) -> type[Method]:
    """Return a subclass of `method` that compares what is not its own before and after each of its hooks."""
    names = HOOKS if method.needs_boundaries else STEP_HOOKS
    own = [name for name in names if _overridden(method, name)]
    watched = type(
        method.__name__,
        (method,),
        {
            "__doc__": method.__doc__,
            "__module__": method.__module__,
            **{name: _watch(method, name) for name in ("attach", *own)},
        },
    )
    assert issubclass(watched, Method)
    return watched


def _overridden(method: type[Method], name: str) -> bool:
    base = getattr(Method, name, getattr(BaseSGDPlugin, name, None))
    return getattr(method, name) is not base


def _watch(method: type[Method], name: str) -> Any:
    def call(self: Method, strategy: Any, **kwargs: Any) -> None:
        before = _not_its_own(strategy)
        optimiser = strategy.optimizer
        getattr(method, name)(self, strategy, **kwargs)
        if strategy.optimizer is not optimiser:
            raise Violation(f"{name} replaces the optimiser: one optimiser trains the whole stream")
        after = _not_its_own(strategy)
        for what, value in before.items():
            now = after[what]
            if what.startswith("optimiser") and name == "attach":
                now = now[: len(value)]
            if what == "the run's generator":
                now = {generator: now[generator] for generator in value}
            if (where := first_difference(value, now)) is not None:
                raise Violation(
                    f"{name} changes {what} {where.lstrip('.')}: work on a copy, or let strategy.loss do it"
                )

    return call


def _not_its_own(strategy: Any) -> dict[str, Any]:
    """A copy of what a hook must leave as it is."""
    model, optimiser = strategy.model, strategy.optimizer
    modules: dict[str, torch.nn.Module] = {"model": model}
    if strategy.method.uses_matching:
        modules["matching"] = strategy.matching
    parameters = {
        f"{owner}.{name}": value for owner, each in modules.items() for name, value in each.named_parameters()
    }
    state = [
        {
            name: value.clone() if isinstance(value, torch.Tensor) else value
            for name, value in optimiser.state.get(parameter, {}).items()
        }
        for parameter in parameters.values()
    ]
    return {
        "parameter": {name: value.detach().clone() for name, value in parameters.items()},
        "buffer": {name: value.clone() for each in modules.values() for name, value in each.named_buffers()},
        "requires_grad of": {name: value.requires_grad for name, value in parameters.items()},
        "the mode (train or eval) of": {
            f"{owner}.{name}": part.training
            for owner, each in modules.items()
            for name, part in each.named_modules()
        },
        "optimiser state": state,
        "optimiser group": [
            {name: value for name, value in group.items() if name != "params"}
            for group in optimiser.param_groups
        ],
        "the run's generator": {
            name: generator.get_state()
            for name, generator in strategy.randomness._torch.items()
            if not name.startswith("method/")
        },
    }
