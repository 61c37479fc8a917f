"""What happens along a stream: forgetting curves, modality gap, and every method's stage x task heat maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from avbench.comparison import Comparison, Entry
from avbench.plots import heat_map
from avbench.records import DIRECTIONS, RunRecord
from avbench.report.content import Head, Heading, Item, Picture, Rows, Section, Sheet, Words, number
from avbench.report.study import Stream, Study
from avbench.task_curves import METRIC, curve_of, forgetting_curves, modality_gap_curves, recall_of_tasks

Matrix = Sequence[Sequence[float]]


def stages(study: Study) -> Section:
    """Return the section: curves of every stream, and a heat map of every entry, variants included."""
    items: list[Item] = []
    for stream in study.streams:
        items += [Heading(stream.references.title), *_of_stream(study, stream)]
    return Section("stages", "Along the stream", items)


def _of_stream(study: Study, stream: Stream) -> list[Item]:
    found = stream.references
    curves = (
        ("forgetting", "Recall of each task after each stage", forgetting_curves(found), recall_of_tasks),
        (
            "modality-gap",
            "Modality gap of each task after each stage: distance between the mean unit embeddings of audio "
            "and of video on the task's retrieval clips",
            modality_gap_curves(found),
            lambda run: run.modality_gap,
        ),
    )
    items: list[Item] = []
    for name, caption, figure, read in curves:
        if figure is None:
            items.append(Words(f"{caption}: missing, no method here was trained stage by stage to its end."))
            continue
        entries = [entry for entry in found.entries if entry.runs and not entry.joint]
        numbers = _matrices(found, entries, [("", read)], f"{found.stem}-{name}")
        items.append(
            Picture(
                f"{found.stem}-{name}", f"{caption}: {found.title}.", figure, study.paths_of(entries), numbers
            )
        )
    for entry in stream.everything.entries:
        figure = heat_map(stream.everything, entry)
        if figure is None:
            items.append(Words(f"{entry.label}: no heat map, it has no finished run."))
            continue
        stem = f"{stream.everything.stem}-stages-{entry.name}"
        stem += f"-{entry.identity}" if entry.differing else ""
        items.append(
            Picture(
                stem,
                f"{entry.label}: recall on each task after each stage, mean of R@1, 5 and 10 and over seeds: "
                f"{stream.everything.title}.",
                figure,
                study.paths_of([entry]),
                _matrices(stream.everything, [entry], _BOTH_WAYS, stem),
                folded=True,
            )
        )
    return items


_BOTH_WAYS: list[tuple[str, Callable[[RunRecord], Matrix]]] = [
    (way, lambda run, way=way: run.recall[way][METRIC])  # type: ignore[misc]
    for way in DIRECTIONS
]


def _matrices(
    comparison: Comparison,
    entries: Sequence[Entry],
    readers: Sequence[tuple[str, Callable[[RunRecord], Matrix]]],
    stem: str,
) -> Sheet:
    """One row a method, direction, stage and task: what the figure draws."""
    rows = tuple(
        (entry.label, way, name, task, number(curve_of(entry, read, stage, place), 4))
        for entry in entries
        for way, read in readers
        for stage, name in enumerate(entry.runs[0].stages)
        for place, task in enumerate(comparison.example.tasks)
    )
    heads = (Head("method"), Head("direction"), Head("stage"), Head("task"), Head("value"))
    return Sheet(stem, "", heads, (Rows("", rows),))
