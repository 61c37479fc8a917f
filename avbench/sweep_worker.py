"""One run of a sweep, made in a process that Ray or Slurm started, maybe on another machine."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from rich.console import Console

from avbench.errors import AvbenchError


def make_run(
    settings: dict[str, Any], results: str, log: str, checkpoint_minutes: float | None = None
) -> str:
    """Make the run that `settings` describe, or go on with it; return "" or why it failed, in a line.

    An error is returned, not raised: it would be the same on another machine. What is worth another try
    is a process that died, and that returns nothing.

    Args:
        settings: as in a configuration file; paths are absolute.
        results: folder of all results, on a disk that all machines share.
        log: file for its messages.
        checkpoint_minutes: see `avbench.experiment.run_experiment`; None for its default.
    """
    from avbench.configuration import Layer
    from avbench.experiment import run_experiment
    from avbench.resolving import resolve
    from avbench.resuming import DEFAULT_MINUTES

    minutes = DEFAULT_MINUTES if checkpoint_minutes is None else checkpoint_minutes
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with Path(log).open("a", encoding="utf-8") as file:
        console = Console(file=file, width=200)
        try:
            config = resolve([Layer("the sweep", settings)])
            run_experiment(config, results=Path(results), checkpoint_minutes=minutes, console=console)
        except AvbenchError as error:
            console.print(f"Error: {error}", markup=False)
            return str(error).strip().splitlines()[0]
        except Exception as error:
            # A method of anyone's may raise anything; its record has the traceback.
            console.print(traceback.format_exc(), markup=False)
            return f"{type(error).__name__}: {error}"
    return ""


def settings_anywhere(settings: dict[str, Any]) -> dict[str, Any]:
    """Return `settings` with absolute paths, so that they mean the same in another folder."""
    moved = dict(settings)
    if moved.get("data") is not None:
        moved["data"] = str(Path(moved["data"]).resolve())
    if Path(str(moved.get("start", ""))).is_file():
        moved["start"] = str(Path(moved["start"]).resolve())
    if "plugins" in moved:
        moved["plugins"] = [
            str(Path(each).resolve()) if Path(each).is_file() else each for each in moved["plugins"]
        ]
    return moved
