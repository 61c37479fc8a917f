"""Options read off constructors that follow no contract."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Optional, Union

import pytest

from avbench.avalanche_options import REQUIRED, constructor_options, described_parameters
from avbench.errors import InputError
from avbench.options import convert

if TYPE_CHECKING:
    from nowhere import Buffer  # type: ignore[import-not-found]


class Annotated:
    """Types that are known, in part or not at all.

    :param rate: of something that
        goes on.
    :param names: of others
    """

    def __init__(  # noqa: PLR0917
        self,
        rate: float,
        many: Union[float, Sequence[float]] = 1.0,  # noqa: UP007
        names: Optional[Sequence[str]] = None,  # noqa: UP045
        mode: Literal["a", "b"] = "a",
        anything: Any = "as_strategy",
        buffer: Optional[Buffer] = None,  # noqa: UP045
        hook: Callable[[], int] = int,
        size: int | None = None,
        *others: int,
    ) -> None:
        """:param size: in clips."""


class Bare:
    """No types."""

    def __init__(  # type: ignore[no-untyped-def]  # noqa: PLR0917
        self, weight, flag=False, alpha=1, mode="x", decay=None, model=None, make=print
    ): ...


def by_name(plugin: type[Any]) -> dict[str, inspect.Parameter]:
    return {option.name: option for option in constructor_options(plugin)}


def test_what_wants_objects_keeps_its_default_and_is_no_option() -> None:
    assert list(by_name(Annotated)) == ["rate", "many", "names", "mode", "anything", "size"]
    assert list(by_name(Bare)) == ["weight", "flag", "alpha", "mode", "decay"]
    assert all(option.kind is option.KEYWORD_ONLY for option in by_name(Annotated).values())


def test_without_a_default_an_option_must_be_given() -> None:
    assert by_name(Annotated)["rate"].default is REQUIRED
    assert by_name(Bare)["weight"].default is REQUIRED
    assert by_name(Bare)["alpha"].default == 1


@pytest.mark.parametrize(
    ("plugin", "name", "given", "taken"),
    [
        (Annotated, "rate", "1e-3", 0.001),
        (Annotated, "many", [1, 2], [1.0, 2.0]),
        (Annotated, "many", 3, 3.0),
        (Annotated, "names", ["x"], ["x"]),
        (Annotated, "names", None, None),
        (Annotated, "mode", "b", "b"),
        (Annotated, "anything", {"x": 1}, {"x": 1}),
        (Annotated, "size", 3, 3),
        (Bare, "weight", "1e-3", 0.001),
        (Bare, "weight", "word", "word"),
        (Bare, "flag", True, True),
        (Bare, "alpha", 0.5, 0.5),
        (Bare, "alpha", [0.5, 1], [0.5, 1]),
        (Bare, "decay", 0.9, 0.9),
    ],
)
def test_values_are_converted(plugin: type[Any], name: str, given: Any, taken: Any) -> None:
    assert convert(by_name(plugin)[name].annotation, given) == taken


@pytest.mark.parametrize(
    ("plugin", "name", "given"),
    [
        (Annotated, "rate", "fast"),
        (Annotated, "names", "x"),
        (Annotated, "mode", "c"),
        (Bare, "flag", "x"),
        (Bare, "alpha", "x"),
        (Bare, "alpha", True),
        (Bare, "mode", 3),
    ],
)
def test_values_of_a_wrong_type_are_refused(plugin: type[Any], name: str, given: Any) -> None:
    with pytest.raises(ValueError, match="given"):
        convert(by_name(plugin)[name].annotation, given)


def test_an_object_without_a_default_is_a_refusal() -> None:
    class Scheduled:
        def __init__(self, scheduler, reset=True): ...  # type: ignore[no-untyped-def]

    class Hooked:
        def __init__(self, hook: Callable[[], int]) -> None: ...

    with pytest.raises(InputError, match="Scheduled cannot be used: its parameter 'scheduler'"):
        constructor_options(Scheduled)
    with pytest.raises(InputError, match="Hooked cannot be used: its parameter 'hook'"):
        constructor_options(Hooked)


def test_descriptions_of_class_and_constructor() -> None:
    assert described_parameters(Annotated) == {
        "rate": "of something that goes on.",
        "names": "of others",
        "size": "in clips.",
    }


def test_a_class_without_a_constructor_has_no_options() -> None:
    assert constructor_options(type("Plain", (), {})) == []
