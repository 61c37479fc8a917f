"""Pictures of what a run left beside its record: the gallery in a plane, and what was selected of clips."""

from __future__ import annotations

from pathlib import Path

from avbench.comparison import Entry
from avbench.exhibits.figures import draw_gallery, draw_selection
from avbench.exhibits.file import Exhibits, exhibits_path, read_exhibits
from avbench.records import RunRecord
from avbench.report.content import Heading, Item, Picture, Section, Words
from avbench.report.statistics import PROPOSED
from avbench.report.study import Stream, Study


def pictures(study: Study) -> Section:
    """Return the section: for every entry, the pictures of its first run that left some.

    Those of the paper's method are shown, others on demand.
    """
    items: list[Item] = []
    for stream in study.streams:
        items += [Heading(stream.everything.title), *_of_stream(study, stream)]
    return Section("pictures", "Pictures: modality gap, and what was selected", items)


def _of_stream(study: Study, stream: Stream) -> list[Item]:
    items: list[Item] = []
    without = []
    for entry in stream.everything.entries:
        left = ((run, _exhibits(study, run)) for run in entry.runs)
        run, exhibits = next(((run, each) for run, each in left if each is not None), (None, None))
        if run is None or exhibits is None:
            without.append(entry.label)
        else:
            items += _of_run(study, stream, entry, run, exhibits)
    if without:
        items.append(
            Words(
                f"Missing: no run of {', '.join(without)} here has left what pictures are made of, a file "
                "beside its record that ends in .exhibits.npz."
            )
        )
    return items


def _exhibits(study: Study, run: RunRecord) -> Exhibits | None:
    path = exhibits_path(study.folder / Path(study.path_of(run)))
    return read_exhibits(path, run) if path.exists() else None


def _of_run(study: Study, stream: Stream, entry: Entry, run: RunRecord, exhibits: Exhibits) -> list[Item]:
    references = {each.identity for each in stream.references.entries}
    folded = not (entry.name == PROPOSED and entry.identity in references)
    name = entry.name if not entry.differing else f"{entry.name}-{entry.identity}"
    stem = stream.everything.stem
    record = study.path_of(run)
    beside = f"Drawn from {exhibits_path(Path(record)).as_posix()}, beside the record."
    items: list[Item] = [
        Picture(
            f"{stem}-gallery-{name}",
            f"{entry.label}, seed {run.seed}: sounds and videos of the gallery's queries in the plane of "
            f"their principal components, and the modality gap: {stream.everything.title}. {beside}",
            draw_gallery(exhibits),
            (record,),
            folded=folded,
        )
    ]
    tasks = [] if exhibits.selected is None else exhibits.selected.task.tolist()
    for clip, task in enumerate(tasks):
        items.append(
            Picture(
                # Two clips may be of one task.
                f"{stem}-selection-{name}-{clip + 1}",
                f"{entry.label}, seed {run.seed}: what is selected of a clip of {exhibits.tasks[task]}, "
                f"frames and spectrogram: {stream.everything.title}. {beside}",
                draw_selection(exhibits, clip),
                (record,),
                folded=folded,
            )
        )
    return items
