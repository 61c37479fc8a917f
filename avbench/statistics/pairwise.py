"""Methods of one comparison two at a time: by how much one is ahead, and whether seeds can tell.

Two methods are compared over the seeds that both have finished. The difference of a seed is that of the
score, a mean over tasks; `avbench.statistics.significance` says what is exchanged in the test. Differences
task by task are a description beside it: they make no test of their own.

Reads records only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from avbench.comparison import Comparison, Entry
from avbench.errors import InputError, did_you_mean
from avbench.statistics.averages import need_seeds_of_one_run
from avbench.statistics.estimates import Estimate, estimate
from avbench.statistics.scores import Score
from avbench.statistics.significance import holm, sign_flip_p


@dataclass(frozen=True)
class PairedComparison:
    """Two methods over the seeds that both have.

    Attributes:
        first, second: the methods. `score` is what is compared.
        seeds: finished in both, ascending.
        first_lacks, second_lacks: of the other's finished seeds, those that this one has not finished, with
            what became of them: "missing", "failed" or "interrupted".
        differences: first minus second in percent points, one a seed.
        difference: their mean and its 95% interval; None where there is none to take.
        tasks: likewise of each task's own score, by its name.
        p_value: of the sign-flip test; None with fewer than two seeds.
        corrected: the p-value after Holm's correction over all `family` comparisons tested with it.
        family: how many these are.
        absence: why there is no difference: "no common seed", or "n/a" where the score is not defined.
    """

    first: Entry
    second: Entry
    score: Score
    seeds: tuple[int, ...]
    first_lacks: Mapping[int, str]
    second_lacks: Mapping[int, str]
    differences: tuple[float, ...]
    difference: Estimate | None
    tasks: Mapping[str, Estimate]
    p_value: float | None
    corrected: float | None = None
    family: int = 0
    absence: str = ""

    @property
    def tasks_ahead(self) -> int:
        """On how many tasks the first is better than the second on average over seeds."""
        # What rounding leaves of equals is not ahead.
        return sum(each.mean * self.score.sign > 1e-9 for each in self.tasks.values())


def compare_pairs(
    comparison: Comparison, score: Score, *, against: Entry | None = None
) -> list[PairedComparison]:
    """Compare every two methods of `comparison`, or all others with `against`.

    Methods that train on all tasks at once are bounds, not rivals: they take part as `against` only.
    P-values are corrected over the comparisons returned; `corrected_together` corrects over several lists.
    """
    rivals = [entry for entry in comparison.entries if not entry.joint]
    if against is not None:
        pairs = [(entry, against) for entry in rivals if entry != against]
    else:
        pairs = [(first, second) for place, first in enumerate(rivals) for second in rivals[place + 1 :]]
    (found,) = corrected_together([[compare_pair(first, second, score) for first, second in pairs]])
    return found


def compare_pair(first: Entry, second: Entry, score: Score) -> PairedComparison:
    """Compare two methods over the seeds that both have finished; nothing is corrected yet.

    Raises:
        DataError: the runs of a method differ in more than the seed.
    """
    for entry in (first, second):
        if entry.runs:
            need_seeds_of_one_run(entry.runs)
    firsts = {run.seed: run for run in first.runs}
    seconds = {run.seed: run for run in second.runs}
    seeds = tuple(sorted(firsts.keys() & seconds.keys()))
    known = [(score.of(firsts[seed]), score.of(seconds[seed])) for seed in seeds]
    differences = [one - other for one, other in known if one is not None and other is not None]
    defined = len(differences) == len(seeds)
    difference = estimate(differences) if seeds and defined else None
    tasks: dict[str, Estimate] = {}
    if difference is not None:
        by_task = [(score.of_tasks(firsts[seed]), score.of_tasks(seconds[seed])) for seed in seeds]
        tasks = {
            task: estimate([one[task] - other[task] for one, other in by_task]) for task in by_task[0][0]
        }
    return PairedComparison(
        first=first,
        second=second,
        score=score,
        seeds=seeds,
        first_lacks=_lacking(first, seconds.keys() - firsts.keys()),
        second_lacks=_lacking(second, firsts.keys() - seconds.keys()),
        differences=tuple(differences) if defined else (),
        difference=difference,
        tasks=tasks,
        p_value=sign_flip_p(differences) if difference is not None and len(seeds) > 1 else None,
        absence="" if difference is not None else "n/a" if seeds else "no common seed",
    )


def corrected_together(groups: Sequence[Sequence[PairedComparison]]) -> list[list[PairedComparison]]:
    """Return the same groups with p-values corrected over all tests in all of them, by Holm's method.

    A pair with fewer than two common seeds is not tested, and does not count.
    """
    p_values = [pair.p_value for group in groups for pair in group if pair.p_value is not None]
    corrected = iter(holm(p_values))
    return [
        [
            pair if pair.p_value is None else replace(pair, corrected=next(corrected), family=len(p_values))
            for pair in group
        ]
        for group in groups
    ]


def find_entry(comparison: Comparison, name: str) -> Entry:
    """Return the entry of `comparison` with this label, or that of this strategy.

    Of several configurations of the strategy that is the one at the method's defaults.

    Raises:
        InputError: there is none, or several at the defaults.
    """
    for entry in comparison.entries:
        if name == entry.label:
            return entry
    found = [entry for entry in comparison.entries if entry.name == name]
    if not found:
        names = {entry.name for entry in comparison.entries}
        raise InputError(f"{comparison.title}: there are no records of {name!r}{did_you_mean(name, names)}")
    usual = [entry for entry in found if entry.at_defaults] if len(found) > 1 else found
    if len(usual) != 1:
        raise InputError(
            f"{comparison.title}: {name} was run in {len(found)} configurations, of which "
            f"{len(usual) or 'none'} {'have' if usual else 'has'} all options at the method's defaults: name "
            f"one of {labels(found)}"
        )
    return usual[0]


def labels(entries: Sequence[Entry]) -> str:
    """Return the entries' labels as a person names them on the command line."""
    return ", ".join(f'"{entry.label}"' for entry in entries)


def _lacking(entry: Entry, seeds: set[int]) -> dict[int, str]:
    return {seed: entry.unfinished.get(seed, "missing") for seed in sorted(seeds)}
