"""Options: the constructor's signature is the schema, the docstring describes."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from avbench.options import check_options, convert, options_of


class Example:
    """An example.

    Args:
        capacity: clips in the memory,
            as many as fit.
        rate, share: both are shares.

    Raises:
        ValueError: capacity: never.
    """

    def __init__(
        self,
        *,
        capacity: int = 5,
        rate: float = 0.5,
        share: float | None = None,
        kind: Literal["a", "b"] = "a",
        on: bool = True,
    ) -> None:
        pass


def test_options_come_from_signature_and_docstring() -> None:
    options = options_of(Example)
    assert list(options) == ["capacity", "rate", "share", "kind", "on"]
    assert options["capacity"].description == "clips in the memory, as many as fit."
    assert options["share"].description == "both are shares."
    assert options["kind"].description == ""
    assert [option.type_name for option in options.values()] == [
        "int", "float", "float | None", "Literal['a', 'b']", "bool",
    ]  # fmt: skip


def test_class_without_constructor_has_none() -> None:
    assert options_of(type("Empty", (), {})) == {}


def test_given_values_are_converted_and_the_rest_filled_in() -> None:
    values, mistakes = check_options(Example, {"capacity": "7", "rate": 1, "share": "1e-3"}, "example")
    assert mistakes == []
    assert values == {"capacity": 7, "rate": 1.0, "share": 1e-3, "kind": "a", "on": True}


def test_all_mistakes_are_told() -> None:
    given = {"capasity": 1, "rate": "much", "kind": "c", "on": 3, "nothing_like_it": 0}
    _, mistakes = check_options(Example, given, "example")
    assert len(mistakes) == 5
    assert "example has no option 'capasity' (did you mean capacity?)" in mistakes
    assert any("option 'kind' of example: input should be 'a' or 'b'" in each for each in mistakes)
    assert any("(valid: capacity, kind, on, rate, share)" in each for each in mistakes)


@pytest.mark.parametrize(("wanted", "value"), [(int, True), (float, False), (int, 1.5), (int | None, "x")])
def test_what_does_not_fit_is_refused(wanted: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="given"):
        convert(wanted, value)
