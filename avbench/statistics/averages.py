"""Means over runs that differ in nothing but the seed; others are refused, and in what they differ is said.

Every mean in a table, a plot or a test goes through `average`. Reads records only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from avbench.comparison import settings_of
from avbench.errors import DataError
from avbench.records import RunRecord
from avbench.statistics.estimates import Estimate, estimate


def average(runs: Sequence[RunRecord], read: Callable[[RunRecord], float]) -> Estimate:
    """Return the mean over seeds of what `read` takes from each run, with its 95% interval.

    Raises:
        DataError: the runs may not be averaged: see `need_seeds_of_one_run`.
    """
    need_seeds_of_one_run(runs)
    return estimate([read(run) for run in runs])


def need_seeds_of_one_run(runs: Sequence[RunRecord]) -> None:
    """Refuse runs that must not be averaged.

    Raises:
        DataError: there are none, one did not finish, two have the same seed, or they differ in more than
            the seed; the message names what differs, and the values.
    """
    if not runs:
        raise DataError("there is no finished run to take a mean of")
    for run in runs:
        if not run.finished:
            raise DataError(f"{_name(run)} {run.ending.how}: it has no scores to average")
    if len({run.identity for run in runs}) > 1:
        raise DataError(
            f"{', '.join(map(_name, runs))} are not averaged, for they differ in more than the seed: "
            + "; ".join(differences(runs))
        )
    seeds = [run.seed for run in runs]
    for run in runs:
        if seeds.count(run.seed) > 1:
            raise DataError(f"{_name(run)} is there twice: a run counts once")


def differences(runs: Sequence[RunRecord]) -> list[str]:
    """Return in what `runs` differ but their seeds, each as "capacity: 200 or 500".

    Settings by their dotted names; scenario, strategy, backbone, clips, start and the code of plugins too.
    Where none of these is unlike though identities are, the identities.
    """
    known = [_everything(run) for run in runs]
    names = sorted({name for each in known for name in each})
    unlike = []
    for name in names:
        values = _distinct(repr(each[name]) if name in each else "not set" for each in known)
        if len(values) > 1:
            unlike.append(f"{name}: {' or '.join(values)}")
    if not unlike and len({run.identity for run in runs}) > 1:
        unlike.append(f"identity: {' or '.join(_distinct(run.identity for run in runs))}")
    return unlike


def _everything(run: RunRecord) -> dict[str, Any]:
    # Fingerprints in full: those of `settings_of` are shortened for the names of rows.
    named = {
        "scenario": run.scenario, "strategy": run.strategy, "backbone": run.backbone, "source": run.source,
        "clips": run.store, "start": run.start,
    }  # fmt: skip
    code = {f"{kind} code": digest for kind, digest in run.plugin_code.items()}
    settings = {name: value for name, value in settings_of(run).items() if not name.endswith(" code")}
    return settings | named | code


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _name(run: RunRecord) -> str:
    return f"{run.strategy} with seed {run.seed}"
