"""A and F of the mean recall in both directions: the four columns that smaller tables have."""

from __future__ import annotations

from collections.abc import Callable

from avbench.comparison import Entry
from avbench.plots import MIB
from avbench.records import DIRECTIONS, RunRecord
from avbench.report.content import Head, Number, number
from avbench.statistics.averages import average
from avbench.statistics.scores import Measure, Score

_MEASURES: tuple[Measure, ...] = ("A", "F")
MEAN_SCORES = tuple(Head(measure, way) for way in DIRECTIONS for measure in _MEASURES)
"""The headings of `mean_scores`."""


def mean_scores(entry: Entry) -> tuple[Number, ...]:
    """Return A and F of each direction, mean of R@1, R@5 and R@10, over the entry's seeds."""
    return tuple(
        over_seeds(entry, Score(measure, "mean", way).of) for way in DIRECTIONS for measure in _MEASURES
    )


def peak_mebibytes(entry: Entry) -> Number:
    """Return the peak of a training step in MiB, over the entry's seeds."""
    return over_seeds(
        entry,
        lambda run: run.memory.peak_step / MIB if run.memory and run.memory.peak_step is not None else None,
        digits=1,
    )


def over_seeds(entry: Entry, read: Callable[[RunRecord], float | None], digits: int = 2) -> Number:
    """Return the mean over an entry's seeds of what `read` returns; missing where one has it not."""
    values = {run.seed: read(run) for run in entry.runs}
    known = {seed: value for seed, value in values.items() if value is not None}
    if not known or len(known) < len(values):
        return number(None)
    return number(average(entry.runs, lambda run: known[run.seed]), digits)
