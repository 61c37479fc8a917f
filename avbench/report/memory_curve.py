"""Average accuracy against the size of the rehearsal memory, in clips and in bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from avbench.comparison import Comparison, Entry
from avbench.figures import error_bars, legend_below, new_figure, style_of
from avbench.option_defaults import changed_options
from avbench.plots import MIB, over_directions
from avbench.records import PLACES_AND_SPEED
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
from avbench.report.mean_scores import MEAN_SCORES, mean_scores
from avbench.report.study import Stream, Study
from avbench.statistics.averages import average


@dataclass(frozen=True)
class Sizes:
    """A method that differs in nothing but the size of its memory: its entries, the smallest memory first."""

    label: str
    entries: tuple[Entry, ...]


def memory_curve(study: Study) -> Section:
    """Return the section: for every stream a figure and its numbers, of methods run with several sizes."""
    items: list[Item] = []
    for stream in study.streams:
        items.append(Heading(stream.everything.title))
        found = methods_by_size(stream)
        if not found:
            items.append(
                Words(
                    "Missing: no method here has finished runs with two or more sizes of its rehearsal "
                    "memory. avbench run --memory CLIPS, or --memory BYTES such as 16MiB, sets it."
                )
            )
        else:
            items += _of_stream(study, stream.everything, found)
    return Section("memory", "Accuracy against rehearsal memory", items)


def methods_by_size(stream: Stream) -> list[Sizes]:
    """Return the methods that have finished runs with two or more sizes of their memory."""
    groups: dict[str, list[Entry]] = {}
    for entry in stream.everything.entries:
        if entry.runs and entry.runs[0].configuration.get("memory") is not None:
            groups.setdefault(_all_but_the_size(entry), []).append(entry)
    found = [
        Sizes(_label(entries), tuple(sorted(entries, key=rehearsal_bytes)))
        for entries in groups.values()
        if len({str(entry.runs[0].configuration["memory"]) for entry in entries}) > 1
    ]
    return sorted(found, key=lambda sizes: sizes.label)


def rehearsal_bytes(entry: Entry) -> float:
    """Return the bytes of the rehearsal memory at the end, mean over seeds; 0 where no run has an account."""
    return average(entry.runs, lambda run: run.memory.of("rehearsal memory") if run.memory else 0).mean


def _all_but_the_size(entry: Entry) -> str:
    """A key that entries share which differ in nothing but their memory."""
    run = entry.runs[0]
    left_out = PLACES_AND_SPEED | {"seed", "memory"}
    settings = {key: value for key, value in run.configuration.items() if key not in left_out}
    options = settings.get("strategy_options", {})
    if isinstance(options, Mapping):
        settings["strategy_options"] = {key: value for key, value in options.items() if key != "capacity"}
    return repr(sorted(settings.items(), key=lambda pair: pair[0])) + run.start


def _label(entries: list[Entry]) -> str:
    run = entries[0].runs[0]
    options = {"memory": None, **run.configuration.get("strategy_options", {})}
    changed = changed_options(run).keys() - {"capacity"}
    # Options are named where they are not the defaults; the memory is what the axis shows.
    unsaid = {f"{name}={value}" for name, value in options.items() if name not in changed}
    shared = [
        word
        for word in entries[0].differing
        if word not in unsaid and all(word in entry.differing for entry in entries)
    ]
    return f"{entries[0].name} ({', '.join(shared)})" if shared else entries[0].name


def _of_stream(study: Study, comparison: Comparison, found: list[Sizes]) -> list[Item]:
    records = study.paths_of(entry for sizes in found for entry in sizes.entries)
    rows: list[tuple[CellContent, ...]] = []
    for sizes in found:
        for entry in sizes.entries:
            rows.append(
                (
                    sizes.label,
                    str(entry.runs[0].configuration["memory"]),
                    str(len(entry.runs)),
                    Number(rehearsal_bytes(entry) / MIB or None, digits=1, absence="missing"),
                    *mean_scores(entry),
                )
            )
    sheet = Sheet(
        stem=f"{comparison.stem}-accuracy-by-memory-size",
        caption=f"Accuracy by size of the rehearsal memory: {comparison.title}.",
        heads=(
            Head("Method"), Head("memory"), Head("Seeds"), Head("held MiB"),
            *MEAN_SCORES,
        ),
        blocks=(Rows("", tuple(rows)),),
        records=records,
        notes=(
            "Mean of R@1, R@5 and R@10, percent. Memory: clips, or bytes where a unit is given; held: what "
            "the rehearsal memory had at the end of the run.",
        ),
    )  # fmt: skip
    caption = (
        "A against the size of the rehearsal memory, in clips (sizes that were given in clips) and in bytes: "
        f"{comparison.title}."
    )
    figure = _draw(comparison, found)
    return [Picture(f"{comparison.stem}-memory-size", caption, figure, records), sheet]


def _draw(comparison: Comparison, found: list[Sizes]) -> Figure:
    figure, all_axes = new_figure(1, 2, width=7.5, height=3.8, sharey=True)
    readers: tuple[tuple[str, Callable[[Entry], float | None]], ...] = (
        ("rehearsal memory, clips", _clips),
        ("rehearsal memory, MiB", lambda entry: rehearsal_bytes(entry) / MIB or None),
    )
    for axes, (heading, read) in zip(all_axes, readers, strict=True):
        places = set()
        for order, sizes in enumerate(found):
            points = [(read(entry), over_directions(entry)) for entry in sizes.entries]
            known = [(place, score) for place, score in points if place is not None]
            axes.errorbar(
                [place for place, _ in known], [score.mean for _, score in known],
                yerr=error_bars([score for _, score in known]),
                **style_of(order), markersize=5, linewidth=1.3, capsize=3, label=sizes.label,
            )  # fmt: skip
            places |= {place for place, _ in known}
        axes.set_xscale("log", base=2)
        if heading.endswith("clips"):
            axes.set_xticks(sorted(places))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(heading)
    # Shared by both, so only now that all points are in them: it ends their scaling.
    all_axes[0].set_ylim(bottom=0)
    all_axes[0].set_ylabel("average accuracy A, percent")
    figure.suptitle(
        "A against rehearsal memory (mean of R@1, 5, 10 and of both directions; 95% intervals over seeds)\n"
        f"{comparison.title}",
        fontsize=10,
    )
    legend_below(figure, all_axes[0], 4)
    return figure


def _clips(entry: Entry) -> float | None:
    memory = entry.runs[0].configuration["memory"]
    return float(memory) if isinstance(memory, int) else None
