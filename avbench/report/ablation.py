"""The ablation: AVCL's two ideas apart (LPIS, RCA), random patches and patches by motion (MATS)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from avbench.comparison import Comparison, Entry
from avbench.figures import COLOURS, HATCHES, error_bars, legend_below, new_figure
from avbench.option_defaults import changed_options
from avbench.published import published_ablation
from avbench.records import DIRECTIONS, Direction, RunRecord
from avbench.report.content import (
    CellContent,
    Head,
    Heading,
    Item,
    Number,
    Picture,
    Rows,
    Section,
    Sheet,
    Words,
)
from avbench.report.mean_scores import MEAN_SCORES, mean_scores, peak_mebibytes
from avbench.report.study import Stream, Study
from avbench.statistics.averages import average
from avbench.statistics.estimates import interval_words
from avbench.task_curves import METRIC

PAPER = "STELLA, ICML 2024, arXiv 2310.08204; results/published/ablation.csv"


@dataclass(frozen=True)
class Variant:
    """One row of the ablation.

    Attributes:
        name: which patches are trained with.
        strategy: that trains with them.
        selection: its option of this name, None for a strategy that has none.
        lpis, rca: whether the method's two ideas are used.
    """

    name: str
    strategy: str
    selection: str | None
    lpis: bool
    rca: bool

    @property
    def command(self) -> str:
        """The options of `avbench run` that choose it."""
        chosen = f"--strategy {self.strategy}"
        return chosen if self.selection in (None, "avcl") else f"{chosen} --set selection={self.selection}"


VARIANTS = (
    Variant("Random", "random", None, False, False),
    Variant("MATS", "mats", None, False, False),
    Variant("neither (all patches)", "avcl", "none", False, False),
    Variant("LPIS", "avcl", "lpis", True, False),
    Variant("RCA", "avcl", "rca", False, True),
    Variant("LPIS and RCA (AVCL)", "avcl", "avcl", True, True),
)


def ablation(study: Study) -> Section:
    """Return the section: our rows for every stream, as far as they were run, and the published table."""
    items: list[Item] = []
    for stream in study.streams:
        items.append(Heading(stream.everything.title))
        shared, entries = entries_of(stream)
        found = list(zip(VARIANTS, entries, strict=True))
        if sum(entry is not None for _, entry in found) < 2:
            items.append(Words("Missing: fewer than two variants of the ablation have finished runs here."))
        else:
            items += _of_stream(study, stream.everything, found, shared)
        missing = [variant.command for variant, entry in found if entry is None]
        if missing:
            items.append(Words(f"Not run or not finished: avbench run {'; '.join(missing)}"))
    items += [Heading("Published"), _published(study)]
    return Section("ablation", "Ablation", items)


def entries_of(stream: Stream) -> tuple[str, list[Entry | None]]:
    """Return the entry of every variant, None where it has no finished run, and what they all share.

    They are alike in their other options, such as the memory's size: the defaults, or what most of the
    variants were run with; then that is told. Of several entries, for instance with other epochs, that with
    the most seeds.
    """
    by_setting: dict[str, dict[int, list[Entry]]] = {"": {}}
    for entry in stream.everything.entries:
        for row, variant in enumerate(VARIANTS):
            if entry.runs and entry.name == variant.strategy:
                options = changed_options(entry.runs[0])
                default = None if variant.selection is None else "avcl"
                if options.pop("selection", default) == variant.selection:
                    shared = ", ".join(f"{name}={value}" for name, value in sorted(options.items()))
                    by_setting.setdefault(shared, {}).setdefault(row, []).append(entry)
    # The defaults come first, and win where as many variants were run.
    shared, rows = max(by_setting.items(), key=lambda pair: len(pair[1]))
    return shared, [
        max(rows[row], key=lambda entry: len(entry.runs)) if row in rows else None
        for row in range(len(VARIANTS))
    ]


def _of_stream(
    study: Study, comparison: Comparison, found: list[tuple[Variant, Entry | None]], shared: str
) -> list[Item]:
    title = f"{comparison.title}; {shared}" if shared else comparison.title
    entries = [entry for _, entry in found if entry is not None]
    records = study.paths_of(entries)
    intervals = interval_words(len(entry.runs) for entry in entries)
    rows: tuple[tuple[CellContent, ...], ...] = tuple(
        (
            variant.name,
            _yes(variant.lpis),
            _yes(variant.rca),
            "0" if entry is None else str(len(entry.runs)),
            *_numbers(entry),
        )
        for variant, entry in found
    )
    sheet = Sheet(
        stem=f"{comparison.stem}-ablation",
        caption=f"Ablation: {title}.",
        heads=(
            Head("Patches"), Head("LPIS"), Head("RCA"), Head("Seeds"), *MEAN_SCORES, Head("peak step MiB"),
        ),
        blocks=(Rows("", rows),),
        records=records,
        notes=(
            f"Mean of R@1, R@5 and R@10, percent; mean ± {intervals}. LPIS: localised patch "
            "importance scoring; RCA: replay-guided correlation assessment.",
        ),
    )  # fmt: skip
    caption = f"A of the ablation's variants, with 95% intervals over seeds: {title}."
    return [Picture(f"{comparison.stem}-ablation", caption, _draw(comparison, found), records), sheet]


def _numbers(entry: Entry | None) -> tuple[Number, ...]:
    if entry is None:
        return (Number(None, absence="missing"),) * (len(MEAN_SCORES) + 1)
    return (*mean_scores(entry), peak_mebibytes(entry))


def _yes(used: bool) -> str:
    return "yes" if used else "no"


def _draw(comparison: Comparison, found: list[tuple[Variant, Entry | None]]) -> Figure:
    there = [(variant, entry) for variant, entry in found if entry is not None]
    figure, (axes,) = new_figure(height=1.6 + 0.5 * len(there))
    for order, way in enumerate(DIRECTIONS):
        scores = [average(entry.runs, _accuracy(way)) for _, entry in there]
        axes.barh(
            np.arange(len(there)) + 0.4 * (order - 0.5),
            [score.mean for score in scores],
            xerr=error_bars(scores),
            height=0.38,
            color=COLOURS[order],
            hatch=HATCHES[order],
            edgecolor="black",
            linewidth=0.5,
            error_kw={"capsize": 3, "linewidth": 1},
            label=way,
        )
    axes.set_yticks(range(len(there)), [variant.name for variant, _ in there])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(left=0)
    axes.set_xlabel("average accuracy A, percent (mean of R@1, 5, 10)")
    figure.suptitle(f"Ablation\n{comparison.title}", fontsize=10)
    legend_below(figure, axes, 2)
    return figure


def _accuracy(way: Direction) -> Callable[[RunRecord], float]:
    return lambda run: run.summary[way][METRIC].average


def _published(study: Study) -> Sheet:
    rows: tuple[tuple[CellContent, ...], ...] = tuple(
        (
            variant.name,
            _yes(variant.lpis),
            _yes(variant.rca),
            *(Number(variant.scores[way, measure]) for way in DIRECTIONS for measure in ("A", "F")),
            Number(variant.gigabytes),
        )
        for variant in published_ablation()
    )
    caption = "Published ablation on the VGGSound stream: other people's measurements, not made by avbench."
    if any(record.rendered for record in study.records):
        caption += " Ours above are from rendered clips, a stand-in: the tables must not be compared."
    return Sheet(
        stem="published-ablation",
        caption=caption,
        heads=(Head("Patches"), Head("LPIS"), Head("RCA"), *MEAN_SCORES, Head("peak GB")),
        blocks=(Rows("", rows),),
        notes=("Mean of R@1, R@5 and R@10, percent; F as the published script computes it.",),
        source=PAPER,
    )
