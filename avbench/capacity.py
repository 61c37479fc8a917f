"""The size of a rehearsal memory: a number of clips, or a budget in bytes.

A budget counts everything that is stored with a clip (patches, positions, features, scores), so methods
that store unlike things can be compared at equal bytes: the memory holds as many clips as fit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator

UNITS = {
    "B": 1,
    "kB": 10**3, "MB": 10**6, "GB": 10**9,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
}  # fmt: skip
"""Bytes of a unit, by its name."""

_FOLDED = {unit.lower(): unit for unit in UNITS}
_BUDGET = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


@dataclass(frozen=True)
class ShownAs:
    """What a type is called where a person reads it."""

    name: str


def as_capacity(value: Any) -> int | str:
    """Return a size of a rehearsal memory: clips as a number, or bytes as a text such as "512MiB".

    Args:
        value: an int, or a text of digits with or without a unit of bytes.

    Raises:
        ValueError: it is neither, or nothing.
    """
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError(
                f"a rehearsal memory of {value} clips holds nothing: give a capacity of 1 or more"
            )
        return value
    found = _BUDGET.fullmatch(value) if isinstance(value, str) else None
    unit = _FOLDED.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise ValueError(
            f"a rehearsal memory is a number of clips, such as 2000, or of bytes with a unit, such as 512MiB "
            f"(units: {', '.join(UNITS)})"
        )
    if float(found[1]) * UNITS[unit] < 1:
        raise ValueError(f"a rehearsal memory of {value} holds nothing: give 1 byte or more")
    return f"{found[1]}{unit}"


def bytes_of(capacity: int | str) -> int | None:
    """Return the budget in bytes, None where `capacity` is a number of clips."""
    if isinstance(capacity, int):
        return None
    found = _BUDGET.fullmatch(capacity)
    assert found is not None
    return int(float(found[1]) * UNITS[found[2]])


Capacity = Annotated[int | str, BeforeValidator(as_capacity), ShownAs("clips or bytes")]
"""The type of an option that is the size of a rehearsal memory: `capacity: Capacity = 2000`."""
