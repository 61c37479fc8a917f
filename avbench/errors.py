"""The few kinds of error avbench raises: each says what was wrong, where, and what to do.

The command line prints them without a traceback and exits with their `exit_code`: 2 for bad input,
1 for work that failed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AvbenchError(Exception):
    """Anything avbench refuses or fails at, in one sentence a person can act on."""

    exit_code = 1


class InputError(AvbenchError):
    """What the user asked for cannot be: a misspelt name, a bad value, a missing file or folder."""

    exit_code = 2


class DataError(AvbenchError):
    """Clips or files that exist but are damaged, unreadable or not what they should be."""


class RunError(AvbenchError):
    """A run that started and could not go on: a loss that is not finite, a full disk, a broken method."""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return " (did you mean X?)" for the valid name nearest to `name`, or all names if none is near."""
    valid = sorted(valid)
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    if near:
        return f" (did you mean {near[0]}?)"
    return f" (valid: {', '.join(valid)})" if valid else ""
