"""Which runs may stand in one table, which may be averaged, and what tells the others apart.

- Runs of one *comparison* share scenario, source of the clips, store, gallery and backbone. Rendered and
  real clips never meet in one.
- Runs of one *entry* share the identity of their records: they differ in nothing but the seed. They alone
  are averaged. Where a strategy has several entries, or where entries were trained differently, the
  settings that differ are part of an entry's name.

Reads records only.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avbench.errors import DataError
from avbench.option_defaults import changed_options
from avbench.records import PLACES_AND_SPEED, RunRecord

# What a row's name says already, or what every entry of a comparison shares.
_NAMED = PLACES_AND_SPEED | {"seed", "strategy", "scenario", "backbone", "results"}


@dataclass(frozen=True)
class Entry:
    """A strategy in one configuration: a row of a table, a bar or a point of a plot.

    Attributes:
        name: the strategy's.
        differing: settings that tell it from the comparison's other entries, such as "capacity=500"; in
            the order of their names.
        identity: of its records.
        runs: its finished runs, by seed.
        missing: seeds that other entries have and this one lacks.
        unfinished: how runs that did not finish ended, by seed.
        joint: whether it trains on all tasks at once: an upper bound, without forgetting.
        needs_boundaries: whether it is told where tasks begin and end.
        evaluates_copy: whether its scores are those of a slow copy that it keeps.
        at_defaults: whether all options of the strategy are at their defaults.
    """

    name: str
    differing: tuple[str, ...]
    identity: str
    runs: tuple[RunRecord, ...]
    missing: tuple[int, ...]
    unfinished: Mapping[int, str]
    joint: bool
    needs_boundaries: bool
    evaluates_copy: bool
    at_defaults: bool

    @property
    def label(self) -> str:
        """The strategy's name, and in brackets what tells this entry apart."""
        return f"{self.name} ({', '.join(self.differing)})" if self.differing else self.name


@dataclass(frozen=True)
class Comparison:
    """Entries that may be compared: same clips, same tasks, same gallery, same backbone.

    Attributes:
        scenario, source, backbone: names; `store` is the fingerprint of the clips.
        title: what a caption must say; carries "rendered" where the clips were.
        stem: how files made of it are named; no two comparisons of one call share it.
        entries: sorted by name; joint ones last.
        example: one record, for what all share: tasks, gallery, chance.
    """

    scenario: str
    source: str
    backbone: str
    store: str
    title: str
    stem: str
    entries: tuple[Entry, ...]
    example: RunRecord


def comparisons(records: Sequence[RunRecord]) -> list[Comparison]:
    """Sort `records` into comparisons, and these by name.

    Raises:
        DataError: two finished records have the same identity and seed, or none was given.
    """
    if not records:
        raise DataError("there are no run records to show: make some with avbench run")
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    for record in records:
        shared = (record.scenario, record.source, record.backbone, record.store, *record.tasks)
        groups.setdefault((*shared, str(record.gallery)), []).append(record)
    ordered = [groups[key] for key in sorted(groups)]
    firsts = [group[0] for group in ordered]
    alike = [[other for other in firsts if _name(other) == _name(first)] for first in firsts]
    return [_comparison(group, others) for group, others in zip(ordered, alike, strict=True)]


def at_defaults(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the records of methods at the defaults of their options, in each of their `comparisons`.

    A method that was never run at its defaults there keeps all its records, so that none is left out.
    """
    kept: set[str] = set()
    for comparison in comparisons(records):
        usual = {entry.name for entry in comparison.entries if entry.at_defaults}
        kept |= {
            entry.identity for entry in comparison.entries if entry.at_defaults or entry.name not in usual
        }
    return [record for record in records if record.identity in kept]


def on_one_machine(comparison: Comparison) -> bool:
    """Whether all finished runs were made on machines alike, so that their speeds may be compared."""
    runs = [run for entry in comparison.entries for run in entry.runs]
    return len({tuple(sorted(run.environment.hardware.items())) for run in runs}) <= 1


def left_out(comparison: Comparison, whole: Comparison) -> list[str]:
    """Return the labels of the entries of `whole` that `comparison`, one of some of its records, has not."""
    there = {entry.identity for entry in comparison.entries}
    return [entry.label for entry in whole.entries if entry.identity not in there]


def _name(record: RunRecord) -> str:
    return f"{record.scenario}-{record.source}-{record.backbone}"


def _comparison(records: list[RunRecord], alike: Sequence[RunRecord]) -> Comparison:
    """Make the comparison of `records`; `alike` has one of each comparison that would have its name."""
    first = records[0]
    title = f"{first.scenario}, {first.source} clips, {first.backbone} backbone"
    stem = _name(first)
    if len(alike) > 1:
        title += f", store {first.store[:8]}"
        stem += f"-{first.store[:8]}-{first.gallery}"
    if len({other.gallery for other in alike}) > 1:
        title += f", gallery of {first.gallery}"
    if len({tuple(other.tasks) for other in alike}) > 1:
        title += f", tasks {', '.join(first.tasks)}"
        stem += "-" + hashlib.blake2b("\n".join(first.tasks).encode(), digest_size=4).hexdigest()
    by_identity: dict[str, list[RunRecord]] = {}
    for record in records:
        by_identity.setdefault(record.identity, []).append(record)
    seeds = sorted({record.seed for record in records})
    named = _differing({identity: runs[0] for identity, runs in by_identity.items()})
    entries = [_entry(runs, seeds, named[identity]) for identity, runs in by_identity.items()]
    entries.sort(key=lambda entry: (entry.joint, entry.name, entry.differing))
    return Comparison(
        first.scenario, first.source, first.backbone, first.store, title, stem, tuple(entries), first
    )


def _entry(records: list[RunRecord], seeds: list[int], differing: tuple[str, ...]) -> Entry:
    runs: dict[int, RunRecord] = {}
    unfinished: dict[int, str] = {}
    for record in records:
        if not record.finished:
            unfinished[record.seed] = record.ending.how
        elif record.seed in runs:
            raise DataError(
                f"{record.strategy} with seed {record.seed} has two records of one configuration "
                f"({record.identity}): remove one of them, a run counts once"
            )
        else:
            runs[record.seed] = record
    unfinished = {seed: how for seed, how in sorted(unfinished.items()) if seed not in runs}
    first = records[0]
    return Entry(
        name=first.strategy,
        differing=differing,
        identity=first.identity,
        runs=tuple(runs[seed] for seed in sorted(runs)),
        missing=tuple(seed for seed in seeds if seed not in runs and seed not in unfinished),
        unfinished=unfinished,
        joint=bool(runs) and all(len(run.stages) < len(run.tasks) for run in runs.values()),
        needs_boundaries=first.needs_boundaries,
        evaluates_copy=first.evaluates_copy,
        at_defaults=not changed_options(first),
    )


def _differing(examples: Mapping[str, RunRecord]) -> dict[str, tuple[str, ...]]:
    """By identity, the settings that must be named.

    They are those in which two entries of one strategy differ, and those of the training (not the
    strategy's own options) in which an entry differs from most others.
    """
    settings = {identity: settings_of(record) for identity, record in examples.items()}
    named: dict[str, tuple[str, ...]] = {}
    for identity, record in examples.items():
        siblings = [settings[other] for other, each in examples.items() if each.strategy == record.strategy]
        words = []
        for name, value in sorted(settings[identity].items()):
            unlike_siblings = any(other.get(name) != value for other in siblings)
            if unlike_siblings or _is_unusual(name, value, list(settings.values())):
                words.append(f"{name.rpartition('.')[2]}={value}")
        named[identity] = tuple(words)
    strategies = Counter(record.strategy for record in examples.values())
    rows = Counter((record.strategy, named[identity]) for identity, record in examples.items())
    for identity, record in examples.items():
        nameless = strategies[record.strategy] > 1 and not named[identity]
        if nameless or rows[record.strategy, named[identity]] > 1:
            # A setting that only the others have, or a difference that no setting shows, such as another
            # version of the record's layout: two rows of one name would pass for one.
            named[identity] = (*named[identity], identity)
    return named


def _is_unusual(name: str, value: Any, everyone: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a setting of the training has not the one value that most entries have which have it."""
    if name.startswith("strategy_options.") or value is None:
        return False
    values = [repr(other[name]) for other in everyone if other.get(name) is not None]
    most = max(values.count(each) for each in values)
    return {each for each in values if values.count(each) == most} != {repr(value)}


def settings_of(record: RunRecord) -> dict[str, Any]:
    """Return all settings by dotted name, and digests of the start and of plugins' code.

    Digests are shortened, for names of rows. Without what a row's name says already, or what cannot
    change a score.
    """
    flat: dict[str, Any] = {"start": record.start[:8]}
    for kind, code in record.plugin_code.items():
        # By this prefix it is told of two versions of one strategy, not of one strategy among others.
        flat[f"strategy_options.{kind} code"] = code[:32]

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
        else:
            flat[prefix] = value

    walk("", {key: value for key, value in record.configuration.items() if key not in _NAMED})
    flat["device"] = str(flat.get("device", "")).partition(":")[0]
    if "memory" in flat:
        # The same setting by another name.
        flat.pop("strategy_options.capacity", None)
    return flat
