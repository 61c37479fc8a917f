"""Tables made from run records: methods as rows; retrieval, forgetting, memory and speed as columns.

As in the paper's main table (STELLA, ICML 2024), one block a direction with A and F of every recall; then
a block of what it cost. Means are over seeds, with their 95% interval (`avbench.statistics.estimates`); runs
that differ in anything but the seed are rows of their own (`avbench.comparison`). What is missing is shown as
missing.

This module fills tables with numbers; `avbench.table_formats` writes them. Neither needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from avbench.comparison import Comparison, Entry
from avbench.records import METRICS, Direction, Metric, RunRecord, Summary
from avbench.statistics.averages import average
from avbench.statistics.estimates import Estimate
from avbench.table_notes import Forgetting, Notes, table_notes

Better = Literal["more", "less", "neither"]

MIB = 2**20

DIRECTION_TITLES: dict[Direction, str] = {"A2V": "Audio to video (A2V)", "V2A": "Video to audio (V2A)"}


@dataclass(frozen=True)
class Column:
    """One column: its heading in two lines, its unit, and whether more of it is better.

    Attributes:
        group: upper heading, shared by neighbouring columns, such as "R@1".
        name: lower heading, such as "A".
        unit: of the values, such as "percent".
        better: which values are the best.
        digits: after the decimal point.
    """

    group: str
    name: str
    unit: str
    better: Better
    digits: int


@dataclass(frozen=True)
class Cell:
    """One value of a table.

    Attributes:
        value: None where there is nothing to show; then `absence` says why.
        absence: "missing" (no finished run, or not measured) or "n/a" (not defined for this method).
        rank: 1 for the best of its column, 2 for the second, else None.
    """

    value: Estimate | None
    absence: Literal["", "missing", "n/a"] = ""
    rank: Literal[1, 2] | None = None


@dataclass(frozen=True)
class Row:
    """One entry of a comparison: label, words about its seeds, and a cell a column."""

    entry: Entry
    label: str
    seeds: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Block:
    """Rows under one heading, with its columns."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """Everything a page shows of one comparison.

    Attributes:
        title: names scenario, source of the clips ("rendered" where they are) and backbone.
        notes_on: sentences that a reader needs to read the numbers, by what they are about.
        retrieval: a block for each direction; all have the same columns.
        cost: memory and speed.
    """

    comparison: Comparison
    title: str
    notes_on: Notes
    retrieval: tuple[tuple[Direction, Block], ...]
    cost: Block

    @property
    def notes(self) -> tuple[str, ...]:
        """All notes, for a page that shows all blocks."""
        about = self.notes_on
        return about.clips + about.scores + about.marks + about.costs


def table(
    comparison: Comparison, *, forgetting: Forgetting = "standard", left_out: Sequence[str] | None = None
) -> Table:
    """Return the table of `comparison`.

    Args:
        comparison: its entries are the rows.
        forgetting: F as defined, or as the published script computes it.
        left_out: where only methods at their defaults are wanted, labels of entries that are not among them.
    """
    directions: tuple[Direction, Direction] = ("A2V", "V2A")
    return Table(
        comparison=comparison,
        title=comparison.title,
        notes_on=table_notes(comparison, forgetting, left_out),
        retrieval=tuple((way, _retrieval(comparison, way, forgetting)) for way in directions),
        cost=_cost(comparison),
    )


def _retrieval(comparison: Comparison, direction: Direction, forgetting: Forgetting) -> Block:
    columns: list[Column] = []
    readers: list[Callable[[RunRecord], float | None]] = []
    for metric in METRICS:
        columns.append(Column(metric, "A", "percent", "more", 2))
        readers.append(_average(direction, metric))
        columns.append(Column(metric, "F", "percent", "less", 2))
        readers.append(_forgetting(direction, metric, forgetting))
    return _block(DIRECTION_TITLES[direction], columns, readers, comparison.entries)


def _average(direction: Direction, metric: Metric) -> Callable[[RunRecord], float | None]:
    return lambda record: record.summary[direction][metric].average


def _forgetting(
    direction: Direction, metric: Metric, forgetting: Forgetting
) -> Callable[[RunRecord], float | None]:
    def read(record: RunRecord) -> float | None:
        summary: Summary = record.summary[direction][metric]
        return summary.forgetting if forgetting == "standard" else summary.forgetting_published

    return read


def _cost(comparison: Comparison) -> Block:
    columns = [
        Column("memory", "rehearsal MiB", "MiB", "neither", 1),
        Column("memory", "other state MiB", "MiB", "neither", 1),
        Column("memory", "peak step MiB", "MiB", "neither", 1),
        Column("speed", "clips/s", "clips/s", "neither", 1),
    ]
    readers: list[Callable[[RunRecord], float | None]] = [
        lambda record: None if record.memory is None else record.memory.of("rehearsal memory") / MIB,
        lambda record: None if record.memory is None else record.memory.of("other state") / MIB,
        lambda record: (
            None
            if record.memory is None or record.memory.peak_step is None
            else record.memory.peak_step / MIB
        ),
        lambda record: record.timing.clips_per_second,
    ]
    return _block("Memory and speed", columns, readers, comparison.entries)


def _block(
    title: str,
    columns: Sequence[Column],
    readers: Sequence[Callable[[RunRecord], float | None]],
    entries: Sequence[Entry],
) -> Block:
    by_column = [
        _ranked([_cell(entry, read, column) for entry in entries], entries, column.better)
        for column, read in zip(columns, readers, strict=True)
    ]
    rows = [
        Row(entry, _label(entry), _seeds(entry), tuple(cells[number] for cells in by_column))
        for number, entry in enumerate(entries)
    ]
    return Block(title, tuple(columns), tuple(rows))


def _cell(entry: Entry, read: Callable[[RunRecord], float | None], column: Column) -> Cell:
    if not entry.runs:
        return Cell(None, "missing")
    values = {run.seed: read(run) for run in entry.runs}
    present = {seed: value for seed, value in values.items() if value is not None}
    if len(present) == len(values):
        return Cell(average(entry.runs, lambda run: present[run.seed]))
    if not present and entry.joint and column.name == "F":
        return Cell(None, "n/a")
    # A mean over some of the seeds would stand beside a number of seeds that it does not have.
    return Cell(None, "missing")


def _ranked(cells: Sequence[Cell], entries: Sequence[Entry], better: Better) -> list[Cell]:
    """Mark the best and the second; equals share a mark.

    Upper bounds take no part, nor do entries that lack seeds: a mean over fewer is luckier or unluckier.
    """
    sign = {"more": -1.0, "less": 1.0, "neither": 0.0}[better]
    contest = [
        cell.value.mean
        for cell, entry in zip(cells, entries, strict=True)
        if cell.value is not None and _is_ranked(entry)
    ]
    order = sorted(set(contest), key=lambda value: sign * value)
    # One method alone is not the best of anything.
    if sign == 0 or len(contest) < 2:
        return list(cells)
    marked: list[Cell] = []
    for cell, entry in zip(cells, entries, strict=True):
        if cell.value is None or not _is_ranked(entry) or cell.value.mean not in order[:2]:
            marked.append(cell)
        else:
            marked.append(replace(cell, rank=1 if cell.value.mean == order[0] else 2))
    return marked


def _is_ranked(entry: Entry) -> bool:
    return not (entry.joint or entry.missing or entry.unfinished)


def _label(entry: Entry) -> str:
    marks = {"†": entry.needs_boundaries, "§": entry.evaluates_copy, "‡": entry.joint}
    return " ".join([entry.label, *(mark for mark, holds in marks.items() if holds)])


def _seeds(entry: Entry) -> str:
    words = [f"{how}: {_list(seeds)}" for how, seeds in _by_ending(entry).items()]
    if entry.missing:
        words.append(f"missing: {_list(entry.missing)}")
    return str(len(entry.runs)) + (f" ({'; '.join(words)})" if words else "")


def _by_ending(entry: Entry) -> dict[str, list[int]]:
    endings: dict[str, list[int]] = {}
    for seed, how in entry.unfinished.items():
        endings.setdefault(how, []).append(seed)
    return endings


def _list(seeds: Sequence[int]) -> str:
    return ", ".join(str(seed) for seed in seeds)
