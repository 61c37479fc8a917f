"""What methods cost: peak memory of a step, throughput, bytes of rehearsal; and the published costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.figure import Figure

from avbench.comparison import Comparison, on_one_machine
from avbench.figures import COLOURS, error_bars, new_figure
from avbench.plots import accuracy_against_memory, memory_by_kind
from avbench.published import published_costs
from avbench.records import RunRecord
from avbench.report.content import Head, Heading, Item, Number, Picture, Rows, Section, Sheet, Words
from avbench.report.main_table import sheet_of_blocks
from avbench.report.study import Stream, Study
from avbench.statistics.averages import average
from avbench.statistics.estimates import Estimate
from avbench.tables import table

PAPER = "STELLA, ICML 2024, arXiv 2310.08204; results/published/efficiency.csv"


def efficiency(study: Study) -> Section:
    """Return the section: a table and figures for every stream, and the published costs by themselves."""
    items: list[Item] = []
    for stream in study.streams:
        items += [Heading(stream.references.title), *_of_stream(study, stream)]
    items += [Heading("Published"), _published()]
    return Section("efficiency", "Efficiency", items)


def _of_stream(study: Study, stream: Stream) -> list[Item]:
    found = stream.references
    made = table(found)
    records = study.paths_of(found.entries)
    items: list[Item] = [
        sheet_of_blocks(
            [made.cost],
            notes=made.notes_on.clips + made.notes_on.marks + made.notes_on.costs,
            stem=f"{found.stem}-efficiency",
            caption=f"Memory and speed: {found.title}.",
            records=records,
        )
    ]
    figures = [
        ("memory", "Memory by kind, mean over seeds", memory_by_kind(found)),
        ("accuracy-against-memory", "Accuracy against memory", accuracy_against_memory(found)),
    ]
    if on_one_machine(found):
        figures.append(("throughput", "Clips of the stream per second of training", _throughput(found)))
    else:
        items.append(
            Words(
                "Throughput is not drawn: the runs were made on different machines, whose speeds are not "
                "comparable. avbench bench times methods in turns on one."
            )
        )
    for name, caption, figure in figures:
        if figure is None:
            items.append(Words(f"{caption}: missing, no run here has measured what it needs."))
        else:
            items.append(Picture(f"{found.stem}-{name}", f"{caption}: {found.title}.", figure, records))
    return items


def _throughput(comparison: Comparison) -> Figure | None:
    """Clips per second of every method, with intervals over seeds. None where no run has them."""
    speeds: list[tuple[str, Estimate]] = []
    for entry in comparison.entries:
        known = {run.seed: speed for run in entry.runs if (speed := run.timing.clips_per_second) is not None}
        # A mean over some of the seeds would pass for that of all.
        if known and len(known) == len(entry.runs):
            speeds.append((entry.label, average(entry.runs, _reading(known))))
    if not speeds:
        return None
    figure, (axes,) = new_figure(height=1.2 + 0.3 * len(speeds))
    places = np.arange(len(speeds))
    axes.barh(
        places,
        [speed.mean for _, speed in speeds],
        xerr=error_bars([speed for _, speed in speeds]),
        color=COLOURS[0],
        edgecolor="black",
        linewidth=0.5,
        height=0.65,
        error_kw={"capsize": 3, "linewidth": 1},
    )
    axes.set_yticks(places, [label for label, _ in speeds])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(left=0)
    axes.set_xlabel("clips per second of training, 95% interval over seeds")
    figure.suptitle(f"Throughput\n{comparison.title}", fontsize=10)
    return figure


def _reading(values: Mapping[int, float]) -> Callable[[RunRecord], float]:
    return lambda run: values[run.seed]


def _published() -> Sheet:
    rows = tuple(
        (
            cost.method,
            str(cost.batch_size),
            Number(cost.gigabytes),
            Number(cost.clips_per_second, absence="not given"),
        )
        for cost in published_costs().values()
    )
    return Sheet(
        stem="published-efficiency",
        caption="Published memory and throughput, on one V100 with ViT-B: other people's measurements, of "
        "another model on another device than the records here, not to be compared with the tables above. "
        "avbench memory counts the same step at the paper's geometry.",
        heads=(Head("Method"), Head("batch"), Head("peak GB"), Head("clips/s")),
        blocks=(Rows("", rows),),
        source=PAPER,
    )
