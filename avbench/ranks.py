"""The order of methods, seed by seed, and how far seeds agree on it.

Methods are ranked within each seed, 1 for the best; equals share the mean of their ranks. Over seeds a
method has a mean rank, and an interval that its median rank lies in, with the confidence that so many seeds
allow (`avbench.significance.median_interval`): ranks of few seeds allow no bootstrap worth its name.

Reads records only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from avbench.comparison import Comparison, Entry
from avbench.estimates import Estimate, estimate
from avbench.scores import Score
from avbench.significance import median_interval


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
        lacks: seeds for whose lack it is not ranked.
    """

    entry: Entry
    score: Estimate | None
    seeds: tuple[int, ...]
    ranks: tuple[float, ...] = ()
    mean_rank: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float = 0.0
    lacks: tuple[int, ...] = ()


def rank_entries(comparison: Comparison, score: Score) -> list[RankedEntry]:
    """Rank the methods of `comparison` within each seed; best mean rank first, those not ranked last.

    Ranked are those that have all of `ranking_seeds`. Methods that train on all tasks at once are bounds
    and do not appear.
    """
    rivals = [entry for entry in comparison.entries if not entry.joint]
    seeds = ranking_seeds(rivals)
    values: dict[str, list[float]] = {}
    for entry in rivals:
        scores = {run.seed: score.of(run) for run in entry.runs}
        known = [value for seed in seeds if (value := scores.get(seed)) is not None]
        if seeds and len(known) == len(seeds):
            values[entry.identity] = known
    # A row a seed: rankdata ranks the smallest first.
    table = np.array(list(values.values())).T
    ranks = rankdata(-score.sign * table, axis=1).T if values else table
    ranked = []
    for identity, own in zip(values, ranks, strict=True):
        (entry,) = (entry for entry in rivals if entry.identity == identity)
        low, high, confidence = median_interval(own.tolist())
        ranked.append(
            RankedEntry(
                entry=entry,
                score=estimate(values[identity]),
                seeds=seeds,
                ranks=tuple(own.tolist()),
                mean_rank=float(own.mean()),
                low=low,
                high=high,
                confidence=confidence,
            )
        )
    ranked.sort(key=lambda each: (each.mean_rank, -score.sign * each.score.mean if each.score else 0.0))
    others = [
        RankedEntry(entry, None, seeds, lacks=_lacks(entry, seeds))
        for entry in rivals
        if entry.identity not in values
    ]
    return ranked + others


def ranking_seeds(entries: list[Entry]) -> tuple[int, ...]:
    """Return the seeds over which the most finished runs can be ranked, ascending.

    Of the sets of seeds that entries have, the one whose size times the number of entries that have all of
    it is largest; of equals the larger set. Adding a method with one seed does not shrink it to one.
    """
    have = [frozenset(run.seed for run in entry.runs) for entry in entries]
    runs = {seeds: len(seeds) * sum(seeds <= other for other in have) for seeds in have}
    best = max(runs, key=lambda seeds: (runs[seeds], len(seeds), sorted(seeds)), default=frozenset())
    return tuple(sorted(best))


def _lacks(entry: Entry, seeds: tuple[int, ...]) -> tuple[int, ...]:
    finished = {run.seed for run in entry.runs}
    return tuple(seed for seed in seeds if seed not in finished)
