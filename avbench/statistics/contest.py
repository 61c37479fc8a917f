"""All methods of a comparison against one another: pairs, ranks, and in words what the seeds can show.

Reads records only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from avbench.comparison import Comparison, Entry
from avbench.statistics.estimates import interval_words
from avbench.statistics.pairwise import (
    PairedComparison,
    compare_pairs,
    corrected_together,
    find_entry,
    labels,
)
from avbench.statistics.ranks import RankedEntry, rank_entries
from avbench.statistics.scores import Score
from avbench.statistics.significance import EXACT_TO, LEVEL, seeds_needed, smallest_p


@dataclass(frozen=True)
class Contest:
    """What one score says of the methods of one comparison.

    Attributes:
        comparison, score: what was compared.
        pairs: every two methods, or all against one.
        ranked: all methods but bounds, the best first, those not ranked last.
        chosen: in words, which of several configurations the others are compared with; "" where nothing
            was left to choose.
    """

    comparison: Comparison
    score: Score
    pairs: tuple[PairedComparison, ...]
    ranked: tuple[RankedEntry, ...]
    chosen: str = ""


def contests(comparisons: Sequence[Comparison], score: Score, *, against: str | None = None) -> list[Contest]:
    """Compare all methods within each comparison, or all with the one called `against`.

    P-values are corrected over the pairs of all of them together: looking at several streams is looking
    more often.

    Raises:
        InputError: a comparison has no method called `against`, or several configurations of it of which
            not one alone is at the method's defaults.
    """
    rivals = [None if against is None else find_entry(each, against) for each in comparisons]
    pairs = corrected_together(
        [compare_pairs(each, score, against=rival) for each, rival in zip(comparisons, rivals, strict=True)]
    )
    return [
        Contest(each, score, tuple(found), tuple(rank_entries(each, score)), _choice(each, against, rival))
        for each, found, rival in zip(comparisons, pairs, rivals, strict=True)
    ]


def contest_notes(contest: Contest) -> list[str]:
    """Return the sentences that a reader needs to read the pairs and the ranks."""
    notes = []
    if contest.comparison.example.rendered:
        notes.append(
            "The clips are rendered: these are not results on VGGSound or AudioSet, nor comparable with any."
        )
    if contest.chosen:
        notes.append(contest.chosen)
    return [*notes, *_about_pairs(contest), *what_seeds_show(contest.pairs), *_about_ranks(contest)]


def what_seeds_show(pairs: Sequence[PairedComparison]) -> list[str]:
    """Return in words what the numbers of seeds that `pairs` have can and cannot show."""
    tested = [pair for pair in pairs if pair.p_value is not None]
    words = []
    if any(len(pair.seeds) == 1 for pair in pairs):
        words.append("Where two methods share one seed there is a difference, but neither interval nor test.")
    family = max((pair.family for pair in tested), default=0)
    for seeds in sorted({len(pair.seeds) for pair in tested}):
        least = smallest_p(seeds)
        if least >= LEVEL:
            words.append(
                f"{seeds} seeds cannot reach p < {least:.3g} in a paired sign-flip test: whatever the "
                "difference, they cannot show it to be significant."
            )
        else:
            corrected = min(1.0, family * least)
            words.append(
                f"{seeds} seeds can reach p = {least:.2g} in a paired sign-flip test, and {corrected:.2g} "
                f"after the correction for {family}."
            )
    if tested:
        words.append(
            f"To get below {LEVEL:g} takes {seeds_needed()} seeds for a single comparison"
            + (f", {seeds_needed(family)} for the clearest of {family}." if family > 1 else ".")
        )
    if any(_excludes_zero(pair) and (pair.corrected or 0) >= LEVEL for pair in tested):
        words.append(
            "An interval that leaves out 0 where p is not small supposes normal differences, and is not "
            "corrected for many comparisons: a hint, not evidence."
        )
    return words


def _choice(comparison: Comparison, against: str | None, rival: Entry | None) -> str:
    if rival is None or against == rival.label:
        return ""
    others = [entry for entry in comparison.entries if entry.name == rival.name and entry != rival]
    if not others:
        return ""
    return (
        f'{rival.name} was run in {len(others) + 1} configurations: compared with "{rival.label}", which has '
        f"all options at the method's defaults; the others are {labels(others)}."
    )


def _about_pairs(contest: Contest) -> list[str]:
    score, pairs = contest.score, contest.pairs
    if not pairs:
        return ["There is one method only: nothing to compare."]
    ahead = "above" if score.sign > 0 else "below"
    intervals = interval_words(len(pair.seeds) for pair in pairs)
    notes = [
        f"Difference: first minus second in percent points, {ahead} 0 where the first is better; mean over "
        f"the seeds that both have finished ± {intervals}. Rivals with the same seed see the same clips in "
        "the same order.",
        "p: two-sided sign-flip test of the mean difference. Seeds are what is exchanged; tasks of one seed "
        "are not independent and change sign together. Tasks ahead: those on which the first is better on "
        "average, a description without a test.",
    ]
    if any(len(pair.seeds) > EXACT_TO for pair in pairs):
        notes.append(f"p is exact up to {EXACT_TO} seeds, and estimated from random signs beyond.")
    family = max(pair.family for pair in pairs)
    if family:
        notes.append(
            f"p (Holm): corrected for all {family} comparisons tested; below {LEVEL:g} is called significant."
        )
    if any(entry.joint for entry in contest.comparison.entries):
        notes.append(
            "A method that trains on all tasks at once is a bound: it is not ranked, and compared only where "
            "all are compared with it."
        )
    return notes


def _about_ranks(contest: Contest) -> list[str]:
    ranked = [each for each in contest.ranked if each.mean_rank is not None]
    if not ranked:
        return []
    seeds, confidence = ranked[0].seeds, ranked[0].confidence
    if len(seeds) == 1:
        shows = f"Rank: within seed {seeds[0]}, 1 is best. One seed says nothing of how sure an order is."
    else:
        shows = (
            f"Rank: within each of the seeds {', '.join(map(str, seeds))}, 1 is best, equals share the mean "
            "of their ranks. Range: holds the median rank over ever more seeds with "
            f"{100 * confidence:.3g}% confidence"
            + (", as much as so few seeds give; 6 give 95%." if confidence < 0.95 else ".")
        )
    if len(ranked) < len(contest.ranked):
        shows += " Methods that lack one of these seeds are not ranked."
    return [shows]


def _excludes_zero(pair: PairedComparison) -> bool:
    found = pair.difference
    if found is None or found.low is None or found.high is None:
        return False
    return found.low * found.high > 0
