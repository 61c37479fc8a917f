"""Checks of what a method says of itself: its hooks, its options, its source. Nothing is trained here."""

from __future__ import annotations

import math
import re
import typing
from typing import Any

from avbench.errors import AvbenchError, InputError
from avbench.method import Method, check_hooks
from avbench.options import Option, check_options, convert

_YEAR = re.compile(r"\b(19|20)\d\d\b")
NONSENSE = "nonsense"


def hooks(method: type[Method]) -> None:
    """Its hooks are Avalanche's, and a task-free method has none that tell about tasks."""
    check_hooks(method)


def constructs(method: type[Method]) -> None:
    """It is made with its defaults; every option is keyword-only and has a type and a default of it."""
    method()
    for option in method.options():
        if option.type is Any:
            raise _of(option, "has no type that a value could be checked against: say int, float, str, ...")
        try:
            convert(option.type, option.default)
        except ValueError as error:
            raise _of(option, f"has a default of another type: {error}") from None


def described(method: type[Method]) -> None:
    """It cites its source with a year, says in a sentence what it does, and describes every option."""
    if not _YEAR.search(method.paper):
        raise InputError(
            f"{method.__name__}.paper is {method.paper!r}: say where the method is from, with its year, such "
            'as "Experience Replay for Continual Learning, NeurIPS 2019, arXiv 1811.11682"'
        )
    if not method.summary.endswith("."):
        raise InputError(
            f"the docstring of {method.__name__} begins with {method.summary!r}: let its first line be one "
            "sentence that says what the method does"
        )
    for option in method.options():
        if not option.description:
            raise _of(option, 'is not described: add it under "Args:" in the docstring of the class')


def refuses_nonsense(method: type[Method]) -> None:
    """It refuses senseless values of its options, in an error that a run can show.

    What no option of the kind can mean must be refused: a text for a number, NaN, a rehearsal memory that
    holds nothing. Values that may mean something (-1, 0, infinity) may be taken; but where they are refused,
    it must be by InputError or ValueError, which a run shows to the user.
    """
    for option in method.options():
        kinds = _kinds(option.type)
        if not kinds & {int, float}:
            continue
        never: list[Any] = [] if str in kinds and option.name != "capacity" else [NONSENSE]
        perhaps: list[Any] = [-1, 0]
        if float in kinds:
            never.append(math.nan)
            perhaps += [math.inf, -math.inf]
        if option.name == "capacity":
            never += [0, -1]
            perhaps = []
        for value in never:
            if not _refused(method, option, value):
                raise _of(
                    option,
                    f"takes {value!r}: check it in __init__ and raise avbench.errors.InputError "
                    "(write the comparison so that NaN fails it, such as `if not 0 <= x <= 1`)",
                )
        for value in perhaps:
            _refused(method, option, value)


def _refused(method: type[Method], option: Option, value: Any) -> bool:
    """Whether a run with this value would end before it starts, with an error for its user."""
    values, mistakes = check_options(method, {option.name: value}, method.__name__)
    if mistakes:
        return True
    try:
        method(**values)
    except (AvbenchError, ValueError):
        return True
    except Exception as error:
        raise _of(
            option,
            f"refuses {value!r} with {type(error).__name__}: {error}; raise avbench.errors.InputError",
        ) from error
    return False


def _kinds(wanted: Any) -> set[Any]:
    """The types that a type consists of: of Annotated[int | str, ...] int and str."""
    if isinstance(wanted, type):
        return {wanted}
    return {kind for part in typing.get_args(wanted) for kind in _kinds(part)}


def _of(option: Option, what: str) -> InputError:
    return InputError(f"option {option.name!r} {what}")
