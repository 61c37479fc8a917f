"""What a report is about: the records of a folder of results, sorted into comparisons.

A method's *reference* entry is its run at the defaults of its options; entries with another memory or
another option are *variants*. Main tables show references, the sections about memory and ablation show the
variants too. A method that was never run at its defaults has all its entries taken for references, so that
none is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from avbench.comparison import Comparison, Entry, at_defaults, comparisons
from avbench.errors import DataError
from avbench.record_files import read_record, record_files
from avbench.records import RunRecord

STREAMS = ("vggsound-stream", "audioset-stream")
"""The paper's streams: a report says so where one of them has no records."""


@dataclass(frozen=True)
class Stream:
    """Runs that may be compared: one scenario on one store with one backbone.

    Attributes:
        everything: all their entries.
        references: those of methods at their defaults, as a comparison of its own, so that names and
            missing seeds are told among them alone.
        records: all their records, unfinished ones as well.
    """

    everything: Comparison
    references: Comparison
    records: tuple[RunRecord, ...]

    @property
    def variants(self) -> tuple[Entry, ...]:
        """Entries with another memory or another option than their method's defaults."""
        known = {entry.identity for entry in self.references.entries}
        return tuple(entry for entry in self.everything.entries if entry.identity not in known)


@dataclass(frozen=True)
class Study:
    """All records of one folder of results.

    Attributes:
        folder: as it was given.
        paths: of each record, relative to the folder, in the order of `records`.
        streams: the paper's first, in its order, then others by name.
    """

    folder: Path
    records: tuple[RunRecord, ...]
    paths: tuple[str, ...]
    streams: tuple[Stream, ...]

    @cached_property
    def _places(self) -> dict[int, str]:
        return {id(record): path for record, path in zip(self.records, self.paths, strict=True)}

    def path_of(self, record: RunRecord) -> str:
        """Return where `record`, one of `records` itself, lies, relative to the folder."""
        return self._places[id(record)]

    def paths_of(self, entries: Iterable[Entry]) -> tuple[str, ...]:
        """Return where the finished runs of `entries` lie, sorted."""
        return tuple(sorted(self.path_of(run) for entry in entries for run in entry.runs))


def read_study(folder: Path) -> Study:
    """Read all records below the folder of results.

    Raises:
        DataError: there are none, one is damaged, or two are of the same run.
    """
    files = record_files(folder)
    if not files:
        raise DataError(f"{folder / 'runs'} has no run records to report: make some with avbench run")
    records = [read_record(path) for path in files]
    return Study(
        folder=folder,
        records=tuple(records),
        paths=tuple(path.relative_to(folder).as_posix() for path in files),
        streams=tuple(sorted(_streams(records), key=_papers_first)),
    )


def _streams(records: Sequence[RunRecord]) -> list[Stream]:
    everything = comparisons(records)
    kept = at_defaults(records)
    streams = []
    for whole, references in zip(everything, comparisons(kept), strict=True):
        identities = {entry.identity for entry in whole.entries}
        streams.append(
            Stream(whole, references, tuple(each for each in records if each.identity in identities))
        )
    return streams


def _papers_first(stream: Stream) -> int:
    name = stream.everything.scenario
    return STREAMS.index(name) if name in STREAMS else len(STREAMS)
