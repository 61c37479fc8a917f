"""Writing contests down: Markdown for reading, LaTeX (booktabs) for a paper, CSV for further work."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from avbench.grids import Grid, latex_grids, markdown_grid
from avbench.statistics.contest import Contest, contest_notes
from avbench.statistics.pairwise import PairedComparison
from avbench.statistics.ranks import RankedEntry
from avbench.table_formats import Format, interval_text


def write_contests(contests: Sequence[Contest], form: Format) -> str:
    """Return `contests` as one text in the format `form`."""
    if form == "csv":
        return _csv(contests)
    write = _markdown if form == "markdown" else _latex
    return "\n".join(write(contest) for contest in contests)


def pairs_grid(contest: Contest) -> Grid:
    """Return the pairs as a table: a row a pair."""
    heads = ("First", "Second", "Seeds", "Difference", "Tasks ahead", "p", "p (Holm)")
    return Grid("Paired comparisons", heads, tuple(_pair_row(pair) for pair in contest.pairs), left=3)


def ranks_grid(contest: Contest) -> Grid:
    """Return the ranks as a table: a row a method."""
    heads = ("Method", "Seeds", f"mean {contest.score.measure}", "Mean rank", "Range")
    return Grid("Ranks", heads, tuple(_rank_row(each) for each in contest.ranked), left=2)


def _markdown(contest: Contest) -> str:
    parts = [f"## {contest.comparison.title}: {contest.score.title}", ""]
    parts += [markdown_grid(grid) for grid in (pairs_grid(contest), ranks_grid(contest)) if grid.rows]
    parts += [f"{note}  " for note in contest_notes(contest)]
    return "\n".join(parts).rstrip() + "\n"


def _latex(contest: Contest) -> str:
    caption = " ".join((f"{contest.comparison.title}: {contest.score.title}.", *contest_notes(contest)))
    grids = [grid for grid in (pairs_grid(contest), ranks_grid(contest)) if grid.rows]
    return latex_grids(grids, caption)


def _pair_row(pair: PairedComparison) -> tuple[str, ...]:
    lacks = [
        f"{which}: {_lacks(lacking)}"
        for which, lacking in (("first", pair.first_lacks), ("second", pair.second_lacks))
        if lacking
    ]
    seeds = (_list(pair.seeds) or "none") + (f" ({'; '.join(lacks)})" if lacks else "")
    named = (pair.first.label, pair.second.label, seeds)
    if pair.difference is None:
        return (*named, "missing" if pair.absence == "no common seed" else pair.absence, "", "", "")
    return (
        *named,
        f"{pair.difference.mean:+.2f}{interval_text(pair.difference, 2, ' ± ')}",
        f"{pair.tasks_ahead} of {len(pair.tasks)}",
        _p(pair.p_value),
        _p(pair.corrected),
    )


def _rank_row(each: RankedEntry) -> tuple[str, ...]:
    if each.score is None or each.mean_rank is None:
        finished = [run.seed for run in each.entry.runs]
        seeds = (_list(finished) or "none") + (f" ({_lacks(each.lacks)})" if each.lacks else "")
        return (each.entry.label, seeds, "missing" if each.lacks else "n/a", "", "")
    span = "" if len(each.seeds) == 1 else f"{each.low:g} to {each.high:g}"
    mean = f"{each.score.mean:.2f}{interval_text(each.score, 2, ' ± ')}"
    return (each.entry.label, _list(each.seeds), mean, f"{each.mean_rank:.1f}", span)


def _lacks(lacking: Mapping[int, str]) -> str:
    """Such as "failed 1; missing 2"."""
    endings: dict[str, list[int]] = {}
    for seed, how in lacking.items():
        endings.setdefault(how, []).append(seed)
    return "; ".join(f"{how} {_list(seeds)}" for how, seeds in endings.items())


def _list(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if value >= 0.0001 else "<0.0001"


def _csv(contests: Sequence[Contest]) -> str:
    """One pair or one rank a line; what does not apply is empty."""
    out = io.StringIO()
    heads = (
        "scenario", "source", "backbone", "store", "measure", "metric", "direction", "kind",
        "method", "settings", "identity", "against", "against_settings", "against_identity",
        "seeds", "lacks", "against_lacks",
        "mean", "low95", "high95", "tasks_ahead", "tasks", "p", "p_holm", "comparisons",
        "mean_rank", "rank_low", "rank_high", "rank_confidence", "absence",
    )  # fmt: skip
    writer = csv.DictWriter(out, heads, lineterminator="\n")
    writer.writeheader()
    for contest in contests:
        compared, score = contest.comparison, contest.score
        shared: dict[str, object] = {
            "scenario": compared.scenario,
            "source": compared.source,
            "backbone": compared.backbone,
            "store": compared.store,
            "measure": score.measure,
            "metric": score.metric,
            "direction": score.side,
        }
        for pair in contest.pairs:
            writer.writerow(shared | _pair_fields(pair))
        for each in contest.ranked:
            writer.writerow(shared | _rank_fields(each))
    return out.getvalue()


def _pair_fields(pair: PairedComparison) -> dict[str, object]:
    found = pair.difference
    return {
        "kind": "difference",
        "method": pair.first.name,
        "settings": "; ".join(pair.first.differing),
        "identity": pair.first.identity,
        "against": pair.second.name,
        "against_settings": "; ".join(pair.second.differing),
        "against_identity": pair.second.identity,
        "seeds": " ".join(map(str, pair.seeds)),
        "lacks": _lacks(pair.first_lacks),
        "against_lacks": _lacks(pair.second_lacks),
        "mean": None if found is None else found.mean,
        "low95": None if found is None else found.low,
        "high95": None if found is None else found.high,
        "tasks_ahead": None if found is None else pair.tasks_ahead,
        "tasks": None if found is None else len(pair.tasks),
        "p": pair.p_value,
        "p_holm": pair.corrected,
        "comparisons": pair.family or None,
        "absence": pair.absence,
    }


def _rank_fields(each: RankedEntry) -> dict[str, object]:
    absence = "" if each.score is not None else "missing" if each.lacks else "n/a"
    return {
        "kind": "rank",
        "method": each.entry.name,
        "settings": "; ".join(each.entry.differing),
        "identity": each.entry.identity,
        "seeds": " ".join(map(str, each.seeds)),
        "lacks": _lacks(each.lacks),
        "mean": None if each.score is None else each.score.mean,
        "low95": None if each.score is None else each.score.low,
        "high95": None if each.score is None else each.score.high,
        "mean_rank": each.mean_rank,
        "rank_low": each.low,
        "rank_high": each.high,
        "rank_confidence": None if each.score is None else each.confidence,
        "absence": absence,
    }
