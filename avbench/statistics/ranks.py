"""The order of methods, seed by seed, and how far seeds agree on it.

Methods are ranked within each seed, 1 for the best; equals share the mean of their ranks. Over seeds a
method has a mean rank, and an interval that its median rank lies in, with the confidence that so many seeds
allow (`median_interval` of `avbench.statistics.significance`): ranks of few seeds allow no bootstrap worth
its name.

Reads records only.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from scipy.stats import rankdata

from avbench.comparison import Comparison, Entry
from avbench.records import RunRecord
from avbench.statistics.averages import average
from avbench.statistics.estimates import Estimate
from avbench.statistics.scores import Score
from avbench.statistics.significance import median_interval


@dataclass(frozen=True)
class RankedEntry:
    """A method among the others.

    Attributes:
        entry: the method.
        score: mean over `seeds`, with its 95% interval; None where it is not ranked.
        seeds: over which all ranked methods are compared, ascending; the same for all.
        ranks: within each of these seeds; empty where it is not ranked.
        mean_rank: over seeds; None where it is not ranked.
        low, high: bounds of the median rank over seeds.
        confidence: that the median rank of ever more seeds lies within them, 0 to 1; 0 for a single seed.
        lacks: those of `seeds` for whose lack it is not ranked, with what became of them: "missing",
            "failed" or "interrupted".
    """

    entry: Entry
    score: Estimate | None
    seeds: tuple[int, ...]
    ranks: tuple[float, ...] = ()
    mean_rank: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float = 0.0
    lacks: Mapping[int, str] = field(default_factory=dict)


def rank_entries(comparison: Comparison, score: Score) -> list[RankedEntry]:
    """Rank the methods of `comparison` within each seed; best mean rank first, those not ranked last.

    Ranked are those that have all of `ranking_seeds`. Methods that train on all tasks at once are bounds
    and do not appear.
    """
    rivals = [entry for entry in comparison.entries if not entry.joint]
    seeds = ranking_seeds(rivals)
    ranked: list[RankedEntry] = []
    others: list[RankedEntry] = []
    columns: list[list[float]] = []
    for entry in rivals:
        values = {run.seed: value for run in entry.runs if (value := score.of(run)) is not None}
        if not seeds or not values.keys() >= set(seeds):
            others.append(RankedEntry(entry, None, seeds, lacks=_lacks(entry, seeds)))
            continue
        runs = [run for run in entry.runs if run.seed in seeds]
        ranked.append(RankedEntry(entry, average(runs, _reading(values)), seeds))
        # Rounded, so that means that are equal but for the order of their sums are equal.
        columns.append([round(-score.sign * values[seed], 9) for seed in seeds])
    # The smallest is ranked first.
    ranks = rankdata(columns, axis=0).tolist() if columns else []
    ranked = [_with_ranks(each, own) for each, own in zip(ranked, ranks, strict=True)]
    ranked.sort(key=lambda each: (each.mean_rank, -score.sign * each.score.mean if each.score else 0.0))
    return ranked + others


def _reading(values: Mapping[int, float]) -> Callable[[RunRecord], float]:
    return lambda run: values[run.seed]


def _with_ranks(unranked: RankedEntry, ranks: list[float]) -> RankedEntry:
    low, high, confidence = median_interval(ranks)
    return replace(
        unranked,
        ranks=tuple(ranks),
        mean_rank=statistics.fmean(ranks),
        low=low,
        high=high,
        confidence=confidence,
    )


def ranking_seeds(entries: list[Entry]) -> tuple[int, ...]:
    """Return the seeds over which the most finished runs can be ranked, ascending.

    Of the sets of seeds that entries have, the one whose size times the number of entries that have all of
    it is largest; of equals the larger set, then the lower seeds. Adding a method with one seed does not
    shrink it to one.
    """
    have = {tuple(run.seed for run in entry.runs) for entry in entries if entry.runs}

    def worth(seeds: tuple[int, ...]) -> tuple[int, int, list[int]]:
        complete = sum({run.seed for run in entry.runs} >= set(seeds) for entry in entries)
        return len(seeds) * complete, len(seeds), [-seed for seed in seeds]

    return max(have, key=worth, default=())


def _lacks(entry: Entry, seeds: tuple[int, ...]) -> dict[int, str]:
    finished = {run.seed for run in entry.runs}
    return {seed: entry.unfinished.get(seed, "missing") for seed in seeds if seed not in finished}
