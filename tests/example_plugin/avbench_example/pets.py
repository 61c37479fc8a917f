"""A stream of two tasks."""

from __future__ import annotations

from avbench.scenario import Scenario, Task


class Pets(Scenario):
    """Dogs first, cats then."""

    paper = "none"

    def tasks(self) -> tuple[Task, ...]:
        """Return the two tasks."""
        return (
            Task("dogs", ("dog barking", "dog growling")),
            Task("cats", ("cat meowing", "cat purring")),
        )
