"""Plugins of Avalanche as they are: one that needs no labels becomes a method, any other is refused.

`--plugin avalanche.training.plugins:SynapticIntelligencePlugin` names one. Avalanche's plugins are written
for classifiers: batches are tuples of inputs, labels and tasks there, and after every task the model is
evaluated. None of that exists here, so a plugin sees the training through a view in which it cannot be
read; what reads it is refused with the reason. That is found out at the latest in the steps that measure
its memory before a run (`avbench.step_memory`).
"""

from __future__ import annotations

import functools
import inspect
import random
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
import torch
from avalanche.core import BaseSGDPlugin
from avalanche.training.utils import ParamData
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
)

from avbench.avalanche_options import REQUIRED, constructor_options, described_parameters
from avbench.errors import AvbenchError, InputError, RunError
from avbench.label_free_view import label_free_view
from avbench.method import HOOKS, Method, Strategy

# What torch raises for the caller of a step to explain.
_FOR_THE_RUN = (
    AvbenchError,
    torch.OutOfMemoryError,
    DataDependentOutputException,
    DynamicOutputShapeException,
)
_LINK = re.compile(r"https?://[^\s)>\"']+")


class AvalanchePlugin(Method):
    """Trains with a plugin of Avalanche; `method_of` makes a subclass for each.

    Class attributes:
        wrapped: the plugin's class.
    """

    needs_boundaries = True  # Avalanche tells its plugins everything.
    wrapped: ClassVar[type[Any]]

    def __init__(self, **options: Any) -> None:
        super().__init__()
        missing = [name for name, value in options.items() if value is REQUIRED]
        if missing:
            needed = ", ".join(missing)
            how = " ".join(f"--set {name}=VALUE" for name in missing)
            raise InputError(f"{self.wrapped.__name__} needs a value for {needed}: give it with {how}")
        try:
            self.plugin = self.wrapped(**options)
        # Constructors of others check their values with whatever they like, assertions among them.
        except Exception as error:
            raise InputError(f"{self.wrapped.__name__} cannot be made: {_told(error)}") from error

    def attach(self, strategy: Strategy) -> None:
        """Check that what the plugin keeps can be accounted for, and seed what it may draw from."""
        try:
            super().attach(strategy)
        except RunError as error:
            raise InputError(f"{self.wrapped.__name__} cannot be used: {error}") from error
        # Avalanche's plugins draw from the global generators, which nothing else here draws from.
        seed = int(strategy.randomness.numpy("method/avalanche").integers(2**32))
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)

    def _call(self, hook: str, strategy: Any, **kwargs: Any) -> None:
        name = self.wrapped.__name__
        try:
            getattr(self.plugin, hook)(label_free_view(strategy, name), **kwargs)
        except _FOR_THE_RUN:
            raise
        except Exception as error:
            if any(isinstance(parameter, FakeTensor) for parameter in strategy.model.parameters()):
                raise RunError(
                    f"{name} cannot be measured without running it: its {hook} failed with {_told(error)} on "
                    "tensors without values; avbench run measures it"
                ) from error
            raise InputError(
                f"{name} cannot be used: its {hook} failed with {_told(error)}. Written for classifiers of "
                "Avalanche, it may want of the model what is not there"
            ) from error
        parameters = {_storage(parameter) for parameter in strategy.model.parameters()}
        for kept in _parameter_copies(vars(self.plugin)):
            # Avalanche 0.6 copies parameters with `.cpu()`, which on the CPU is no copy: what synaptic
            # intelligence remembers would move along, and all its importances would be 0.
            if _storage(kept.data) in parameters:
                kept.data = kept.data.clone()


def _parameter_copies(kept: object) -> Iterator[ParamData]:
    """Every copy of a parameter below the attributes of a plugin, as Avalanche keeps them."""
    if isinstance(kept, ParamData):
        yield kept
    elif isinstance(kept, Mapping | list | tuple):
        for each in kept.values() if isinstance(kept, Mapping) else kept:
            yield from _parameter_copies(each)


def _storage(tensor: torch.Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


@functools.cache
def method_of(plugin: type[Any]) -> type[Method]:
    """Return the method that trains with `plugin`, a subclass of Avalanche's BasePlugin.

    Its options are the parameters of the plugin's constructor; it calls the hooks that the plugin defines.

    Raises:
        InputError: the plugin cannot be made from values, has no hook of training, or takes part in
            Avalanche's evaluation, which does not happen here.
    """
    empty = {hook: getattr(BaseSGDPlugin, hook) for hook in HOOKS}
    hooks = [hook for hook in HOOKS if getattr(plugin, hook, empty[hook]) is not empty[hook]]
    options = constructor_options(plugin)
    evaluating = [hook for hook in hooks if "_eval" in hook]
    if evaluating:
        raise InputError(
            f"{plugin.__name__} cannot be used: it takes part in Avalanche's evaluation "
            f"({', '.join(evaluating)}), which does not happen here: retrieval is measured outside of "
            "training"
        )
    if not hooks:
        raise InputError(f"{plugin.__name__} cannot be used: it defines no hook, so it would do nothing")

    def __init__(self: AvalanchePlugin, **given: Any) -> None:
        defaults = {option.name: option.default for option in options}
        AvalanchePlugin.__init__(self, **{**defaults, **given})

    receiver = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    __init__.__signature__ = inspect.Signature([receiver, *options])  # type: ignore[attr-defined]
    __init__.__annotations__ = {option.name: option.annotation for option in options}
    contents = {
        "__doc__": _docstring(plugin),
        "__module__": __name__,
        "__init__": __init__,
        "paper": _source(plugin),
        "wrapped": plugin,
        **{hook: _forwarding(hook) for hook in hooks},
    }
    return type(plugin.__name__, (AvalanchePlugin,), contents)


def _forwarding(hook: str) -> Callable[..., None]:
    def forward(self: AvalanchePlugin, strategy: Any, **kwargs: Any) -> None:
        self._call(hook, strategy, **kwargs)

    forward.__doc__ = "Pass the hook on."
    return forward


def _docstring(plugin: type[Any]) -> str:
    """The plugin's first sentence, and its parameters as avbench's plugins describe theirs."""
    paragraph = " ".join(inspect.cleandoc(plugin.__doc__ or "").partition("\n\n")[0].split())
    sentence = re.split(r"(?<=\.)\s", paragraph)[0] or f"The plugin {plugin.__name__} of Avalanche."
    described = described_parameters(plugin)
    entries = "\n".join(f"    {name}: {text}" for name, text in described.items())
    return f"{sentence}\n\nArgs:\n{entries}\n" if entries else sentence


def _source(plugin: type[Any]) -> str:
    """The links in the plugin's docstring, and the code it is from."""
    links = dict.fromkeys(link.rstrip(".,;") for link in _LINK.findall(plugin.__doc__ or ""))
    package = plugin.__module__.partition(".")[0]
    code = f"Avalanche {version('avalanche-lib')}" if package == "avalanche" else package
    return ", ".join([*links, code])


def _told(error: Exception) -> str:
    """The error in one line; one without a message by the line of code that raised it."""
    text = str(error) or f"`{traceback.extract_tb(error.__traceback__)[-1].line}`"
    return f"{type(error).__name__}: {text}"
