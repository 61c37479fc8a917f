"""The options of a plugin that was written for Avalanche alone, read off its constructor.

Such constructors follow no contract: types may be missing, parameters without a default are required, and
some want objects, such as a scheduler, that nobody can type on a command line.
"""

from __future__ import annotations

import functools
import inspect
import operator
import re
import types
import typing
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator

from avbench.capacity import ShownAs
from avbench.errors import InputError

_VALUES = (bool, int, float, str, type(None))
_CONTAINERS = (list, tuple, dict, set, Sequence)
# Parameters that Avalanche leaves without a type and that are objects of a training.
_OBJECTS = frozenset({"model", "optimizer", "criterion", "scheduler", "storage_policy", "generator_strategy"})
_FIELD = re.compile(r":param\s+(\w+):\s*(.*?)(?=\n\s*:\w|\n\s*\n|\Z)", re.DOTALL)


class Required:
    """Stands where an option has no default: it must be given."""

    def __repr__(self) -> str:
        return "(must be given)"


REQUIRED = Required()


def _as_number(value: Any) -> Any:
    # YAML takes 1e-3 for a text.
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


AnyValue = Annotated[Any, BeforeValidator(_as_number), ShownAs("any value")]
"""The type of an option of which nothing is known: whatever YAML can say."""
Number = Annotated[int | float | list[int | float], ShownAs("number, or list of them")]
"""The type of an option with a number for a default: Avalanche often takes one number per task as well."""


def constructor_options(plugin: type[Any]) -> list[inspect.Parameter]:
    """Return the parameters of a constructor that a command line can set, each with a type and a default.

    Parameters without a default have `REQUIRED` for one. Those that want objects keep their default, and
    are left out.

    Raises:
        InputError: a parameter wants an object and has no default.
    """
    if plugin.__init__ is object.__init__:
        return []
    options = []
    for parameter in list(inspect.signature(plugin.__init__).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        wanted = _type_of(parameter, plugin)
        if parameter.kind is parameter.POSITIONAL_ONLY:
            wanted = None
        if wanted is not None:
            default = REQUIRED if parameter.default is parameter.empty else parameter.default
            options.append(
                inspect.Parameter(
                    parameter.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=wanted
                )
            )
        elif parameter.default is parameter.empty:
            raise InputError(
                f"{plugin.__name__} cannot be used: its parameter {parameter.name!r} has no default and "
                "wants an object, which cannot be given as a value on the command line"
            )
    return options


def described_parameters(plugin: type[Any]) -> dict[str, str]:
    """Return what ":param name: description" in the docstrings of class and constructor says, by name."""
    return {
        name: " ".join(description.split())
        for text in (plugin.__doc__, plugin.__init__.__doc__)
        for name, description in _FIELD.findall(text or "")
    }


def _type_of(parameter: inspect.Parameter, plugin: type[Any]) -> Any:
    """The type of values for a parameter; None where it wants an object."""
    default = parameter.default
    if parameter.annotation is not parameter.empty:
        return _of_values(_resolved(parameter, plugin))
    if parameter.name in _OBJECTS or not (default is parameter.empty or _is_value(default)):
        return None
    if isinstance(default, bool | str):
        return type(default)
    return Number if isinstance(default, int | float) else AnyValue


def _resolved(parameter: inspect.Parameter, plugin: type[Any]) -> Any:
    """The annotation of a parameter; object where its names are known to type checkers alone."""
    where = getattr(plugin.__init__, "__globals__", {})
    holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        return typing.get_type_hints(holder, globalns=where, include_extras=True)[parameter.name]
    except NameError:
        pass
    # One unknown name in a union leaves the others: Optional["Buffer"] may still be None.
    return parameter.annotation if get_origin(parameter.annotation) is Union else object


def _of_values(wanted: Any) -> Any:
    """`wanted` without the members that want objects; None where no value but None is left."""
    origin = get_origin(wanted) or wanted
    inner = [part for part in get_args(wanted) if part is not ...]
    if wanted is Any:
        return AnyValue
    if wanted in _VALUES or origin is Literal:
        return wanted
    if origin in (Union, types.UnionType):
        kept = [part for part in map(_of_values, inner) if part is not None]
        return functools.reduce(operator.or_, kept) if set(kept) - {type(None)} else None
    if origin not in _CONTAINERS or any(_of_values(part) is None for part in inner):
        return None
    # YAML has lists; any is a sequence.
    return list[inner[0]] if origin is Sequence and inner else wanted  # type: ignore[valid-type]


def _is_value(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_value, value))
    return isinstance(value, _VALUES)
