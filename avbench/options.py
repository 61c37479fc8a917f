"""The options of a plugin: the keyword-only parameters of its constructor are the schema.

Names, types and defaults come from the signature, descriptions from "Args:" in the class's docstring.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from avbench.capacity import ShownAs
from avbench.errors import did_you_mean


@dataclass(frozen=True)
class Option:
    """One option: its name, type, default, and what its class's docstring says of it."""

    name: str
    type: Any
    default: Any
    description: str

    @property
    def type_name(self) -> str:
        """The type as a person writes it."""
        for mark in getattr(self.type, "__metadata__", ()):
            if isinstance(mark, ShownAs):
                return mark.name
        return self.type.__name__ if isinstance(self.type, type) else str(self.type).replace("typing.", "")


def options_of(cls: type[Any]) -> dict[str, Option]:
    """Return the options of a plugin class by name, in the order of its constructor's signature."""
    constructor = cls.__init__
    if constructor is object.__init__:
        return {}
    types = typing.get_type_hints(constructor, include_extras=True)
    descriptions = _described(cls)
    return {
        name: Option(name, types.get(name, Any), parameter.default, descriptions.get(name, ""))
        for name, parameter in inspect.signature(constructor).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def check_options(cls: type[Any], given: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[str]]:
    """Return the full options of `cls` with those `given` filled in, and what is wrong with these.

    Args:
        cls: the plugin class.
        given: values by option name; texts are converted to numbers where the type asks for it.
        where: what to call the class in a message, such as "strategy 'er'".

    Returns:
        Every option with its value, and one sentence a mistake.
    """
    options = options_of(cls)
    values = {name: option.default for name, option in options.items()}
    mistakes = []
    for name, value in given.items():
        if name not in options:
            hint = did_you_mean(name, options) or " (it has none)"
            mistakes.append(f"{where} has no option {name!r}{hint}")
            continue
        try:
            values[name] = convert(options[name].type, value)
        except ValueError as error:
            mistakes.append(f"option {name!r} of {where}: {error}")
    return values, mistakes


def convert(wanted: Any, value: Any) -> Any:
    """Return `value` as the type `wanted`, such as int, float | None or Literal["a", "b"].

    Raises:
        ValueError: it is none; the message says what was given. True is not taken for 1.
    """
    try:
        converted = TypeAdapter(wanted).validate_python(value)
    except ValidationError as error:
        # Of a union every member complains; one sentence is enough.
        reasons = " or ".join(
            dict.fromkeys(_lowered(each["msg"].removeprefix("Value error, ")) for each in error.errors())
        )
        raise ValueError(f"{reasons} (given {value!r})") from None
    if isinstance(value, bool) and not isinstance(converted, bool):
        raise ValueError(f"input should be a number, not true or false (given {value!r})")
    return converted


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _described(cls: type[Any]) -> dict[str, str]:
    """Read "name: description" entries below "Args:" in the docstrings of the class and its constructor."""
    found: dict[str, str] = {}
    for text in (cls.__doc__, cls.__init__.__doc__):
        _, heading, rest = inspect.cleandoc(text or "").partition("Args:\n")
        if not heading:
            continue
        block = re.split(r"\n(?=\S)", rest)[0]
        for entry in re.split(r"\n(?= {4}\S)", "\n" + block):
            name, colon, description = entry.strip().partition(":")
            if colon:
                # "a, b: what both are" describes two.
                for each in name.split(","):
                    found[each.strip().partition(" ")[0]] = " ".join(description.split())
    return found
