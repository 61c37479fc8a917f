"""Where everything comes from: runs that are missing or failed, what differs, environments, commands."""

from __future__ import annotations

from avbench.comparison import Entry
from avbench.records import Environment, RunRecord
from avbench.report.command import command_of
from avbench.report.content import Head, Heading, Item, Listing, Number, Rows, Section, Sheet, Words
from avbench.report.study import Stream, Study


def provenance(study: Study) -> Section:
    """Return the section about the records themselves."""
    items: list[Item] = [Heading("Missing and failed runs"), *_absent(study), *_noted(study)]
    items += [Heading("What differs"), *_differing(study)]
    items += [Heading("Environments"), *_environments(study)]
    items += [Heading("Runs and their commands"), _runs(study)]
    items.append(
        Listing(
            "The commands that make these runs again, one a record, in the order of the table. Settings at "
            "their defaults are left out; device and threads are named: their defaults depend on machines.",
            tuple(command_of(record) for record in study.records),
        )
    )
    return Section("records", "Records", items)


def _absent(study: Study) -> list[Item]:
    rows = [
        row
        for stream in study.streams
        for entry in stream.everything.entries
        for row in _absent_of(stream, entry)
    ]
    if not rows:
        return [Words("None: every method has a finished run of every seed that another one here has.")]
    return [
        Sheet(
            stem="missing-and-failed",
            caption="Runs that are missing, failed or were interrupted. A seed is missing where other "
            "methods of the same table have it.",
            heads=(Head("Stream"), Head("Method"), Head("Seeds"), Head("State"), Head("Reason, last line")),
            blocks=(Rows("", tuple(rows)),),
            records=study.paths,
        )
    ]


def _absent_of(stream: Stream, entry: Entry) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    if entry.missing:
        seeds = ", ".join(map(str, entry.missing))
        rows.append((stream.everything.title, entry.label, seeds, "missing", ""))
    for record in stream.records:
        if record.identity == entry.identity and record.seed in entry.unfinished and not record.finished:
            lines = record.ending.error.strip().splitlines()
            rows.append(
                (
                    stream.everything.title, entry.label, str(record.seed), record.ending.how,
                    lines[-1] if lines else "",
                )
            )  # fmt: skip
    return rows


def _noted(study: Study) -> list[Item]:
    rows = tuple(
        (path, note) for record, path in zip(study.records, study.paths, strict=True) for note in record.notes
    )
    if not rows:
        return []
    return [
        Sheet(
            stem="noted",
            caption="What the runs noted: what went wrong beside their results and left them whole, and what "
            "differed when they went on after a stop.",
            heads=(Head("Record"), Head("Note")),
            blocks=(Rows("", rows),),
            records=tuple(dict.fromkeys(path for path, _ in rows)),
        )
    ]


def _differing(study: Study) -> list[Item]:
    rows = tuple(
        (
            stream.everything.title,
            entry.name,
            ", ".join(entry.differing),
            entry.identity,
            str(len(entry.runs)),
        )
        for stream in study.streams
        for entry in stream.everything.entries
        if entry.differing
    )
    if not rows:
        return [Words("Nothing: within each stream, all methods were run with the same settings, one each.")]
    return [
        Sheet(
            stem="what-differs",
            caption="Settings that tell an entry from others of its method, or its training from most "
            "others'. Runs that differ in anything but the seed are never averaged.",
            heads=(Head("Stream"), Head("Method"), Head("Settings"), Head("Identity"), Head("Runs")),
            blocks=(Rows("", rows),),
            records=study.paths,
        )
    ]


def _environments(study: Study) -> list[Item]:
    groups: dict[str, list[int]] = {}
    for place, record in enumerate(study.records):
        groups.setdefault(record.environment.model_dump_json(), []).append(place)
    rows = [
        (str(count), *_environment(study.records[places[0]].environment), str(len(places)))
        for count, places in enumerate(groups.values(), start=1)
    ]
    items: list[Item] = [
        Sheet(
            stem="environments",
            caption="Environments in which the runs were made.",
            heads=(
                Head("No."), Head("Hardware"), Head("Device"), Head("Versions"), Head("Commit"), Head("Tree"),
                Head("Runs"),
            ),
            blocks=(Rows("", tuple(rows)),),
            records=study.paths,
        )
    ]  # fmt: skip
    dirty = sum(record.environment.dirty is True for record in study.records)
    unknown = sum(record.environment.commit is None for record in study.records)
    if dirty:
        items.append(Words(f"{dirty} of {len(study.records)} runs were made from a tree with changes."))
    if unknown:
        items.append(Words(f"Of {unknown} of {len(study.records)} runs the commit is not known."))
    if len({str(sorted(record.environment.hardware.items())) for record in study.records}) > 1:
        items.append(Words("Runs were made on different machines: their speeds must not be compared."))
    return items


def _environment(found: Environment) -> tuple[str, ...]:
    tree = {True: "with changes", False: "clean", None: "unknown"}[found.dirty]
    return (
        _pairs(found.hardware),
        found.device,
        _pairs(found.versions),
        found.commit[:12] if found.commit else "unknown",
        tree,
    )


def _pairs(named: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in named.items()) or "unknown"


def _runs(study: Study) -> Sheet:
    rows = tuple(
        (
            path,
            record.ending.how,
            record.timing.started,
            Number(sum(record.timing.phases.values()), digits=0),
            f"{record.store[:8]}",
            f"{record.start[:8]}",
            _commit(record),
        )
        for record, path in zip(study.records, study.paths, strict=True)
    )
    return Sheet(
        stem="runs",
        caption="All records of this report.",
        heads=(
            Head("Record"), Head("Ended"), Head("Started"), Head("Seconds"), Head("Store"), Head("Start"),
            Head("Commit"),
        ),
        blocks=(Rows("", rows),),
        notes=("* the tree had changes that no commit has.",) if _any_dirty(study) else (),
    )  # fmt: skip


def _any_dirty(study: Study) -> bool:
    return any(record.environment.dirty for record in study.records)


def _commit(record: RunRecord) -> str:
    commit = record.environment.commit
    return "unknown" if commit is None else commit[:12] + ("*" if record.environment.dirty else "")


def summary(study: Study) -> list[str]:
    """Return the sentences a reader needs first: how many runs, of what, and on which clips."""
    finished = sum(record.finished for record in study.records)
    sentences = [
        f"{len(study.records)} records of {len({record.strategy for record in study.records})} methods; "
        f"{finished} finished, {len(study.records) - finished} did not."
    ]
    if any(record.rendered for record in study.records):
        sentences.append(
            "Where a title says rendered clips, the clips are a small stand-in that anyone can render: those "
            "are not results on VGGSound or AudioSet, nor comparable with published ones."
        )
    return sentences
