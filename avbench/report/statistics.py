"""How sure the order of methods is: paired comparisons over seeds, and ranks."""

from __future__ import annotations

from collections.abc import Mapping

from avbench.comparison import Comparison, Entry
from avbench.report.content import (
    CellContent,
    Head,
    Heading,
    Item,
    Number,
    Rows,
    Section,
    Sheet,
    Words,
    number,
)
from avbench.report.study import Study
from avbench.statistics.contest import Contest, contest_notes, what_seeds_show
from avbench.statistics.pairwise import PairedComparison, compare_pairs, corrected_together
from avbench.statistics.ranks import RankedEntry, rank_entries
from avbench.statistics.scores import Score

PROPOSED = "avcl"
"""The paper's method: all others are compared with it, so that no more is tested than is asked."""

_SCORE = Score()


def statistics(study: Study) -> Section:
    """Return the section: for every stream all methods against the paper's, or every two, and their ranks.

    P-values are corrected over the pairs of all streams together.
    """
    compared = [stream.references for stream in study.streams]
    against = [_proposed(comparison) for comparison in compared]
    pairs = corrected_together(
        [
            compare_pairs(comparison, _SCORE, against=entry)
            for comparison, entry in zip(compared, against, strict=True)
        ]
    )
    items: list[Item] = [
        Words(f"What is compared: {_SCORE.title}. avbench compare shows every two methods, and other scores.")
    ]
    if shown := what_seeds_show([pair for found in pairs for pair in found]):
        items.insert(0, Words(" ".join(shown)))
    for comparison, entry, found in zip(compared, against, pairs, strict=True):
        contest = Contest(comparison, _SCORE, tuple(found), tuple(rank_entries(comparison, _SCORE)))
        items += [Heading(comparison.title), *_of_contest(study, contest, entry)]
    return Section("statistics", "Statistics", items)


def _proposed(comparison: Comparison) -> Entry | None:
    """The paper's method, that with the most seeds if it was run in several ways; None without a run."""
    entries = [entry for entry in comparison.entries if entry.name == PROPOSED and entry.runs]
    return max(entries, key=lambda entry: len(entry.runs), default=None)


def _of_contest(study: Study, contest: Contest, against: Entry | None) -> list[Item]:
    comparison = contest.comparison
    notes = tuple(contest_notes(contest))
    records = study.paths_of(comparison.entries)
    versus = "every two methods" if against is None else f"every method against {against.label}"
    items: list[Item] = []
    if contest.pairs:
        items.append(
            Sheet(
                stem=f"{comparison.stem}-pairs",
                caption=f"Paired comparisons of A, {versus}: {comparison.title}.",
                heads=(
                    Head("First"), Head("Second"), Head("Seeds"), Head("Difference"), Head("Tasks ahead"),
                    Head("p"), Head("p (Holm)"),
                ),
                blocks=(Rows("", tuple(_pair_row(pair) for pair in contest.pairs)),),
                records=records,
                notes=notes,
            )
        )  # fmt: skip
    else:
        items.append(Words("Missing: fewer than two methods here may be compared."))
    items.append(
        Sheet(
            stem=f"{comparison.stem}-ranks",
            caption=f"Ranks by A: {comparison.title}.",
            heads=(Head("Method"), Head("Seeds"), Head("A"), Head("Mean rank"), Head("Range")),
            blocks=(Rows("", tuple(_rank_row(each) for each in contest.ranked)),),
            records=records,
            notes=() if contest.pairs else notes,
        )
    )
    return items


def _pair_row(pair: PairedComparison) -> tuple[CellContent, ...]:
    lacking = [
        f"{entry.label}: {_lacking(lacks)}"
        for entry, lacks in ((pair.first, pair.first_lacks), (pair.second, pair.second_lacks))
        if lacks
    ]
    seeds = ", ".join(map(str, pair.seeds)) or "none"
    absence = "missing" if pair.absence == "no common seed" else pair.absence
    found = pair.difference
    difference = Number(None, absence=absence)
    if found is not None:
        difference = Number(found.mean, found.low, found.high, found.interval == "t", signed=True)
    return (
        pair.first.label,
        pair.second.label,
        seeds + (f" ({'; '.join(lacking)})" if lacking else ""),
        difference,
        f"{pair.tasks_ahead} of {len(pair.tasks)}" if found is not None else "",
        Number(pair.p_value, digits=3),
        Number(pair.corrected, digits=3),
    )


def _lacking(lacks: Mapping[int, str]) -> str:
    """Such as "missing 1, 2; failed 3"."""
    endings: dict[str, list[str]] = {}
    for seed, how in lacks.items():
        endings.setdefault(how, []).append(str(seed))
    return "; ".join(f"{how} {', '.join(seeds)}" for how, seeds in endings.items())


def _rank_row(ranked: RankedEntry) -> tuple[CellContent, ...]:
    seeds = ", ".join(str(run.seed) for run in ranked.entry.runs) or "none"
    lacking = _lacking(ranked.lacks)
    span = "" if ranked.low is None or len(ranked.seeds) == 1 else f"{ranked.low:g} to {ranked.high:g}"
    return (
        ranked.entry.label,
        seeds + (f" ({lacking})" if lacking else ""),
        number(ranked.score) if ranked.score is not None else Number(None, absence="not ranked"),
        Number(ranked.mean_rank, digits=1),
        span,
    )
