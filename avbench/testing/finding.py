"""What a check finds: that it passed, that it failed and why, or why it does not apply."""

from __future__ import annotations

import traceback
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from avbench.errors import AvbenchError
from avbench.method import Method

Outcome = Literal["ok", "failed", "not applicable"]


class Violation(Exception):
    """A method breaks the plugin contract; the message says where and what to do."""


class NotApplicable(Exception):
    """A check has nothing to look at in this method or on this machine; the message says why."""


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: the check's name.
        sentence: what it checks.
        outcome: "ok", "failed" or "not applicable".
        reason: why it failed or does not apply; "" where it passed.
    """

    check: str
    sentence: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True)
class Check:
    """One check of a method class.

    Attributes:
        function: raises Violation or NotApplicable, or whatever the method raises; its name is the check's,
            the first line of its docstring says what is checked.
    """

    function: Callable[[type[Method]], None]

    @property
    def name(self) -> str:
        """The check's name, such as "same-seed"."""
        return self.function.__name__.replace("_", "-")

    @property
    def sentence(self) -> str:
        """What is checked."""
        return (self.function.__doc__ or "").strip().split("\n")[0]

    def find(self, method: type[Method]) -> Finding:
        """Return what the check finds about `method`; never raises."""
        try:
            self.function(method)
        except NotApplicable as reason:
            return Finding(self.name, self.sentence, "not applicable", str(reason))
        except (Violation, AvbenchError) as reason:
            return Finding(self.name, self.sentence, "failed", str(reason))
        # A method under development may raise anything: that is a finding too.
        except Exception as error:
            return Finding(self.name, self.sentence, "failed", _where(error))
        return Finding(self.name, self.sentence, "ok")

    def __call__(self, method: type[Method]) -> None:
        """Check `method` in a test.

        Raises AssertionError where it fails, and unittest.SkipTest, which pytest takes for a skip, where it
        does not apply.
        """
        found = self.find(method)
        if found.outcome == "not applicable":
            raise unittest.SkipTest(f"{self.name}: {found.reason}")
        if found.outcome == "failed":
            raise AssertionError(f"{self.name}: {found.reason}")

    def __str__(self) -> str:
        return self.name


def _where(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({last.filename}, line {last.lineno})"
