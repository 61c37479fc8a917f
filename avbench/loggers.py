"""The places where a run's values can be logged while it goes: TensorBoard, Weights & Biases, one CSV.

All are loggers of Avalanche, which are handed their values one by one, outside its evaluation plugin. Each is
opened by a function of its own, which also keeps the run's configuration there and goes on with the logs of a
run that is resumed.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from avalanche.logging import BaseLogger, TensorboardLogger, WandBLogger
from pydantic_core import to_jsonable_python
from torch.utils.tensorboard import SummaryWriter

from avbench.errors import DataError, InputError, did_you_mean
from avbench.files import write_text

Kind = Literal["tensorboard", "wandb", "csv"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# W&B is given so many seconds to send what is left at the end of a run; what it could not send stays on disk.
_UPLOAD_SECONDS = 300.0


@dataclass(frozen=True)
class OpenLogger:
    """A logger, and what Avalanche's loggers have no common name for.

    Attributes:
        kind: its name on the command line.
        logger: takes values by `log_single_metric(name, value, step)`.
        flush: hand everything to the operating system, so that a killed run has lost nothing.
        close: called once, with whether the run finished. Raises where something handed over was lost.
    """

    kind: Kind
    logger: BaseLogger
    flush: Callable[[], None]
    close: Callable[[bool], None]


def parse_kinds(text: str) -> tuple[Kind, ...]:
    """Return the kinds named in a text such as "tensorboard,csv".

    Raises:
        InputError: see `check_kinds`.
    """
    return check_kinds([name.strip() for name in text.split(",")])


def check_kinds(names: Sequence[str]) -> tuple[Kind, ...]:
    """Return `names` as kinds of loggers, each once.

    Raises:
        InputError: there is no such kind, or the package it needs is not installed.
    """
    for name in names:
        if name not in KINDS:
            raise InputError(f"--log: there is no logger {name!r}{did_you_mean(name, KINDS)}")
        if name != "csv" and not _installed(name):
            raise InputError(
                f"--log {name} needs the package {name}, which is missing: pip install 'avbench[{name}]'"
            )
    return tuple(kind for kind in KINDS if kind in names)


def _installed(package: str) -> bool:
    # A folder of this name in the working directory, which W&B likes to make, has a spec without origin.
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def open_loggers(
    kinds: Sequence[Kind], folder: Path, header: Mapping[str, Any], *, at_step: int
) -> list[OpenLogger]:
    """Open loggers for a run, or none of them.

    Args:
        kinds: from `check_kinds`.
        folder: of this run's logs; each kind has a folder in it.
        header: of the run's record: all that is known before it, its configuration included.
        at_step: 0 for a run that begins: what an earlier attempt at it logged is removed. Otherwise how many
            optimiser steps were taken before the checkpoint it goes on from: what was logged of later ones is
            dropped or hidden, since they will be taken again.

    Raises:
        InputError: one cannot be had, for instance because the folder cannot be written, or because W&B
            wants to be logged in to.
    """
    run = to_jsonable_python(dict(header))
    opened: list[OpenLogger] = []
    for kind in kinds:
        try:
            if at_step == 0 and (folder / kind).exists():
                shutil.rmtree(folder / kind)
            (folder / kind).mkdir(parents=True, exist_ok=True)
            opened.append(_OPEN[kind](folder / kind, run, at_step))
        except Exception as error:
            for each in opened:
                each.close(False)
            advice = (
                "log in with `wandb login`, or set WANDB_MODE=offline, which needs no network"
                if kind == "wandb" and not isinstance(error, OSError)
                else "free space, choose another folder of results, or leave it out"
            )
            raise InputError(f"--log {kind} cannot start in {folder / kind}: {error}; {advice}") from error
    return opened


class _Tensorboard(TensorboardLogger):
    """Avalanche's, told where a resumed run goes on: readers then hide what was logged of later steps.

    TensorBoard keeps values in single precision.
    """

    def __init__(self, folder: Path, at_step: int) -> None:
        self._purge_step = at_step + 1 if at_step else None
        super().__init__(folder)

    def _make_writer(self, tb_log_dir: Path, filename_suffix: str) -> SummaryWriter:
        # Not closed at the exit of the process, as Avalanche does, but by who opened it, where errors count.
        return SummaryWriter(tb_log_dir, purge_step=self._purge_step, filename_suffix=filename_suffix)


def _open_tensorboard(folder: Path, run: dict[str, Any], at_step: int) -> OpenLogger:
    logger = _Tensorboard(folder, at_step)
    writer: SummaryWriter = logger.writer
    # TensorBoard shows texts as Markdown, where four spaces make a block that is left as it is.
    text = "".join(f"    {line}\n" for line in yaml.safe_dump(run, sort_keys=False).splitlines())
    writer.add_text("configuration", text, at_step)

    def close(finished: bool) -> None:
        writer.close()

    return OpenLogger("tensorboard", logger, flush=writer.flush, close=close)


class _WandB(WandBLogger):
    """Avalanche's, whose 0.6 fails at any value since W&B dropped `wandb.viz`, for which it asks."""

    def log_single_metric(self, name: str, value: float, x_plot: int) -> None:
        self.wandb.log({name: value}, step=x_plot)


def _open_wandb(folder: Path, run: dict[str, Any], at_step: int) -> OpenLogger:
    import wandb

    logger = _WandB(
        project_name=os.environ.get("WANDB_PROJECT", "avbench"),
        run_name=f"{run['strategy']} on {run['scenario']}, seed {run['seed']}",
        # W&B puts a folder of the name `wandb` in there by itself.
        dir=folder.parent,
        save_code=False,
        config=run,
        params={
            # The same run is the same run there: started over, it is replaced; resumed, it goes on.
            "id": f"{run['identity']}-seed{run['seed']}",
            "resume": "allow" if at_step else None,
            "group": f"{run['strategy']}-{run['identity']}",
            "reinit": "finish_previous",
            # Standard output stays ours: capturing it would draw the progress bars anew.
            "settings": wandb.Settings(
                console="off", quiet=True, finish_timeout=_UPLOAD_SECONDS, finish_timeout_raises=True
            ),
        },
    )
    current = wandb.run
    if current is None or current.disabled:
        raise InputError("W&B is switched off here, by WANDB_MODE=disabled or at its question for a login")

    def close(finished: bool) -> None:
        current.finish(exit_code=0 if finished else 1)
        # Its own process writes the file, and tells nobody but this log when it cannot.
        failed = _unsaved_entries(Path(current.settings.log_internal))
        if failed:
            raise DataError(f"W&B could not save {len(failed)} entries: {failed[0]}")

    return OpenLogger("wandb", logger, flush=lambda: None, close=close)


def _unsaved_entries(own_log: Path) -> list[str]:
    """Return the lines of W&B's own log which say that something could not be saved."""
    if not own_log.exists():
        return []
    lines = own_log.read_text(errors="replace").splitlines()
    return [line for line in lines if "failed to save record" in line]


class TidyCSVLogger(BaseLogger):
    """One file of `step,name,value`, a row a value, for pandas and the like.

    Avalanche's own CSVLogger has fixed columns for the accuracy and loss of labelled experiences, filled by
    its evaluation plugin, and drops whatever else it is given.

    Args:
        path: of the file.
        at_step: rows of later steps are dropped. One that is there and is given again is not repeated.
    """

    def __init__(self, path: Path, at_step: int) -> None:
        super().__init__()
        kept = [row for row in _rows(path) if int(row[0]) <= at_step] if path.exists() else []
        self._there = {(int(step), name) for step, name, _ in kept}
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([_COLUMNS, *kept])
        write_text(path, text.getvalue(), "the log")
        self.file = path.open("a", encoding="utf-8", newline="")
        self._writer = csv.writer(self.file, lineterminator="\n")

    def log_single_metric(self, name: str, value: float, x_plot: int) -> None:
        """Write a row; the value in full precision."""
        if (x_plot, name) not in self._there:
            self._writer.writerow((x_plot, name, value))


_COLUMNS = ["step", "name", "value"]


def _rows(path: Path) -> list[list[str]]:
    """Return the rows below the columns' names; a last one that was cut off by a power cut is left out."""
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    rows = list(csv.reader(whole.splitlines()))
    if rows[:1] != [_COLUMNS] or any(len(row) != 3 or not row[0].isdecimal() for row in rows[1:]):
        raise DataError(f"{path} is not a log of avbench; move it away to go on")
    return rows[1:]


def _open_csv(folder: Path, run: dict[str, Any], at_step: int) -> OpenLogger:
    write_text(folder / "configuration.json", json.dumps(run, indent=2) + "\n", "the log's configuration")
    logger = TidyCSVLogger(folder / "values.csv", at_step)

    def close(finished: bool) -> None:
        logger.file.close()

    return OpenLogger("csv", logger, flush=logger.file.flush, close=close)


_OPEN: dict[Kind, Callable[[Path, dict[str, Any], int], OpenLogger]] = {
    "tensorboard": _open_tensorboard,
    "wandb": _open_wandb,
    "csv": _open_csv,
}
