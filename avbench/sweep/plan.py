"""The plan of a sweep: every run of a grid of methods, streams, seeds and settings.

A grid is a mapping from setting to a value or a list of values; a sweep is one grid or several. A run is
one combination: three loops, so to say, and as many more as there are settings with several values. A run
that two grids name is made once.

    - strategy: [finetune, er, avcl]       # a YAML file of two grids
      scenario: [vggsound-stream, audioset-stream]
      seeds: 3
    - strategy: [er, avcl]
      memory: [50, 100, 400]
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from avbench.configuration import Layer, is_of_settings, raise_all, read_yaml
from avbench.errors import InputError
from avbench.planning import PlannedRun, plan_run
from avbench.resolving import resolve


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        settings: as the grid gives them, for `avbench run --config`.
        plan: what it is.
    """

    settings: dict[str, Any]
    plan: PlannedRun

    @property
    def label(self) -> str:
        """Strategy, stream, what else the grid varies, and seed."""
        named = ("strategy", "scenario", "seed", "plugins", "data", "threads", "device")
        varied = [f"{key}={value}" for key, value in sorted(self.settings.items()) if key not in named]
        config = self.plan.config
        return " ".join([config.strategy, config.scenario, *varied, f"seed={config.seed}"])


def read_grids(path: Path) -> list[dict[str, Any]]:
    """Read the grids of a YAML file: one mapping, or a list of them.

    Raises:
        InputError: the file is missing, or holds no grids.
    """
    content = read_yaml(path, str(path))
    grids = content if isinstance(content, list) else [content]
    if not grids or not all(grid and is_of_settings(grid) for grid in grids):
        raise InputError(f"{path}: wanted `setting: value` or `setting: [values]` lines, or a list of such")
    return grids


def grid_of_texts(texts: Mapping[str, str], assignments: Sequence[str]) -> dict[str, Any]:
    """Return the grid that the command line gives: values separated by commas.

    Args:
        texts: by setting, such as {"strategy": "er,avcl", "seeds": "3"}.
        assignments: of --set, such as "memory=500,1000".

    Raises:
        InputError: an assignment is not key=value; all such are named.
    """
    mistakes = [
        f"--set {text}: wanted key=value, such as memory=500,1000" for text in assignments if "=" not in text
    ]
    raise_all(mistakes)
    pairs = [*texts.items(), *(text.split("=", 1) for text in assignments)]
    keys = [key.strip() for key, _ in pairs]
    raise_all([f"{key} is given twice: write {key}=A,B" for key in keys if keys.count(key) > 1][:1])
    return {key: _values(key, text) for key, (_, text) in zip(keys, pairs, strict=True)}


def _values(key: str, text: str) -> Any:
    """Return one value, or the list of those that commas outside brackets separate, read as YAML."""
    try:
        found = yaml.safe_load(f"[{text}]")
    except yaml.YAMLError as error:
        raise InputError(f"{key}={text}: the value cannot be read: {error}") from error
    if not found or any(value is None for value in found):
        raise InputError(f"{key}={text}: a value is missing")
    return found if len(found) > 1 else found[0]


def plan_sweep(grids: Sequence[Mapping[str, Any]], *, below: Sequence[Layer] = ()) -> list[SweepRun]:
    """Return every run of `grids`, each once, in their order.

    Args:
        grids: by setting a value or a list of values; `seeds` is a number of seeds from 0 on, or a list of
            them. A setting whose one value is a list is given as a list in a list.
        below: settings of all runs, which a grid's own override.

    Raises:
        InputError: with everything that is wrong with any of them, each mistake once.
    """
    mistakes: list[str] = []
    found: dict[Path, SweepRun] = {}
    for grid in grids:
        for settings in _combinations(grid):
            try:
                plan = plan_run(resolve([*below, Layer("the grid", settings)]))
            except InputError as error:
                mistakes.append(_of_run(settings, str(error)))
            else:
                shared = {key: value for layer in below for key, value in layer.values.items()}
                found.setdefault(plan.record_path(Path()), SweepRun({**shared, **settings}, plan))
    raise_all(list(dict.fromkeys(mistakes)))
    return list(found.values())


def _of_run(settings: Mapping[str, Any], mistake: str) -> str:
    return f"strategy {settings.get('strategy', 'avcl')}: {mistake}"


def _combinations(grid: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if "seeds" in grid and "seed" in grid:
        raise InputError("seeds and seed are the same thing: give one")
    varied = {key: value for key, value in grid.items() if key != "seeds"}
    if "seeds" in grid:
        varied["seed"] = _seeds(grid["seeds"])
    names = list(varied)
    choices = [value if isinstance(value, list) else [value] for value in varied.values()]
    for name, values in zip(names, choices, strict=True):
        if not values:
            raise InputError(f"{name}: no value is given")
    for combination in itertools.product(*choices):
        yield dict(zip(names, combination, strict=True))


def _seeds(given: Any) -> list[int]:
    if isinstance(given, int) and not isinstance(given, bool) and given >= 1:
        return list(range(given))
    if isinstance(given, list) and given and all(type(each) is int and each >= 0 for each in given):
        return given
    raise InputError(f"seeds: wanted a number of seeds, or a list of seeds (given {given!r})")
