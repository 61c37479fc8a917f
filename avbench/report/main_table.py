"""The paper's main table: retrieval and forgetting of every method on every stream, and the published one.

Published figures are set beside ours, with the difference, only where ours are from real clips of the same
stream with the published backbone. Otherwise they have a table of their own, which says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from avbench.comparison import Comparison
from avbench.published import PUBLISHED_NAMES, published_scores
from avbench.records import DIRECTIONS, METRICS
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
from avbench.report.study import STREAMS, Stream, Study
from avbench.tables import DIRECTION_TITLES, Block, Cell, Column, Table, table

PAPER = "STELLA, ICML 2024, arXiv 2310.08204; results/published/retrieval.csv"
# The source of clips that the paper's streams are made of.
_SOURCES = {"vggsound-stream": "vggsound", "audioset-stream": "audioset"}
_PUBLISHED_BACKBONE = "base"

Scores = Mapping[tuple[str, str, str, str], float]
"""Percent by method, direction, metric and measure, of one stream."""


def main_table(study: Study) -> Section:
    """Return the section: for every stream our table, variants, and what was published."""
    items: list[Item] = []
    scenarios = sorted({stream.everything.scenario for stream in study.streams} - set(STREAMS))
    for scenario in (*STREAMS, *scenarios):
        items.append(Heading(scenario))
        ours = [stream for stream in study.streams if stream.everything.scenario == scenario]
        if not ours:
            items.append(
                Words(f"Missing: there are no records of {scenario} here. avbench run --scenario {scenario}")
            )
        for stream in ours:
            items += _ours(study, stream)
        published = scores_of(scenario)
        if not published:
            items.append(Words(f"There are no published figures of {scenario}."))
            continue
        comparable = [stream for stream in ours if is_comparable(stream.references)]
        items += [_beside(study, stream, published) for stream in comparable]
        if not comparable:
            items.append(_published_alone(scenario, published, ours))
    return Section("main-table", "Retrieval and forgetting", items)


def is_comparable(comparison: Comparison) -> bool:
    """Whether these are results on real clips of a published stream with the published backbone."""
    return comparison.backbone == _PUBLISHED_BACKBONE and comparison.source == _SOURCES.get(
        comparison.scenario
    )


def scores_of(stream: str) -> Scores:
    """Return the published figures of a stream, none of one that the paper has not."""
    return {
        (each.method, each.direction, each.metric, each.measure): each.percent
        for each in published_scores()
        if each.stream == stream
    }


def sheet_of_blocks(
    blocks: Sequence[Block], *, stem: str, caption: str, records: Sequence[str], notes: Sequence[str]
) -> Sheet:
    """Return blocks of `avbench.tables` that have the same columns as one table of a report."""
    return Sheet(
        stem=stem,
        caption=caption,
        heads=(Head("Method"), Head("Seeds"), *(_head(column) for column in blocks[0].columns)),
        blocks=tuple(
            Rows(
                block.title if len(blocks) > 1 else "",
                tuple(
                    (
                        row.label,
                        row.seeds,
                        *(
                            _number(cell, column)
                            for cell, column in zip(row.cells, block.columns, strict=True)
                        ),
                    )
                    for row in block.rows
                ),
            )
            for block in blocks
        ),
        records=tuple(records),
        notes=tuple(notes),
    )


def _head(column: Column) -> Head:
    return Head(column.name, column.group if column.unit == "percent" else "")


def _number(cell: Cell, column: Column) -> Number:
    if cell.value is None:
        return Number(None, absence=cell.absence)
    return replace(number(cell.value, column.digits), rank=cell.rank)


def _ours(study: Study, stream: Stream) -> list[Item]:
    found = stream.references
    made = table(found)
    items: list[Item] = [
        sheet_of_blocks(
            [block for _, block in made.retrieval],
            notes=_notes(made),
            stem=f"{found.stem}-main",
            caption=f"Retrieval and forgetting: {found.title}. Methods at their defaults.",
            records=study.paths_of(found.entries),
        )
    ]
    if stream.variants:
        everything = table(stream.everything)
        variants = {entry.identity for entry in stream.variants}
        blocks = [
            Block(
                block.title, block.columns, tuple(row for row in block.rows if row.entry.identity in variants)
            )
            for _, block in everything.retrieval
        ]
        items.append(
            sheet_of_blocks(
                blocks,
                notes=_notes(everything),
                stem=f"{found.stem}-variants",
                caption=f"The same with another rehearsal memory or other options: {found.title}. Marks for "
                "the best are among all configurations.",
                records=study.paths_of(stream.variants),
            )
        )
    return items


def _notes(made: Table) -> tuple[str, ...]:
    about = made.notes_on
    return about.clips + about.scores + about.marks


def _columns() -> tuple[Head, ...]:
    return tuple(Head(measure, metric) for metric in METRICS for measure in ("A", "F"))


def _published_alone(scenario: str, published: Scores, ours: Sequence[Stream]) -> Sheet:
    methods = list(dict.fromkeys(method for method, *_ in published))
    caption = f"Published figures of {scenario}: other people's measurements, not made by avbench."
    if any(stream.everything.example.rendered for stream in ours):
        caption += " Ours above are from rendered clips, a stand-in: the two tables must not be compared."
    elif ours:
        caption += " Ours above are of another backbone or other clips: the two tables must not be compared."
    return Sheet(
        stem=f"{scenario}-published",
        caption=caption,
        heads=(Head("Method"), *_columns()),
        blocks=tuple(
            Rows(
                DIRECTION_TITLES[way],
                tuple(
                    (
                        method,
                        *(
                            Number(published.get((method, way, metric, measure)))
                            for metric in METRICS
                            for measure in ("A", "F")
                        ),
                    )
                    for method in methods
                ),
            )
            for way in DIRECTIONS
        ),
        notes=(
            "Percent; F as the published script computes it. No spread over seeds was published.",
            "STELLA is avbench's avcl, STELLA+ its avcl-plus, DER++ its der-pp.",
        ),
        source=PAPER,
    )


def _beside(study: Study, stream: Stream, published: Scores) -> Sheet:
    """Ours, the published figure and the difference: three rows a method, F as published."""
    found = stream.references
    made = table(found, forgetting="published")
    blocks = []
    for way, block in made.retrieval:
        rows: list[tuple[CellContent, ...]] = []
        for row in block.rows:
            ours = [_number(cell, column) for cell, column in zip(row.cells, block.columns, strict=True)]
            rows.append((row.label, *ours))
            name = PUBLISHED_NAMES.get(row.entry.name)
            if name is None:
                continue
            theirs = [published.get((name, way, column.group, column.name)) for column in block.columns]
            rows.append((f"  published ({name})", *(Number(value) for value in theirs)))
            rows.append(
                (
                    "  difference",
                    *(_difference(mine, other) for mine, other in zip(ours, theirs, strict=True)),
                )
            )
        blocks.append(Rows(block.title, tuple(rows)))
    return Sheet(
        stem=f"{found.stem}-beside-published",
        caption=f"Beside the published figures: {found.title}. Difference: ours less the published one.",
        heads=(Head("Method"), *_columns()),
        blocks=tuple(blocks),
        records=study.paths_of(found.entries),
        notes=(*_notes(made), "No spread over seeds was published."),
        source=PAPER,
    )


def _difference(ours: Number, published: float | None) -> Number:
    if ours.value is None or published is None:
        return Number(None)
    return replace(
        ours,
        value=ours.value - published,
        low=None if ours.low is None else ours.low - published,
        high=None if ours.high is None else ours.high - published,
        rank=None,
        signed=True,
    )
