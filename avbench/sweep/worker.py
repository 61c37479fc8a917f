"""One run of a sweep, made in a process that Ray or Slurm started, maybe on another machine."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from avbench.errors import AvbenchError

if TYPE_CHECKING:
    from avbench.loggers import Kind
    from avbench.resume.interruption import Preemption

# As for a single run: see avbench.resume.checkpointing, which is not imported for it.
DEFAULT_MINUTES = 5.0


@dataclass(frozen=True)
class RunOptions:
    """How every run of a sweep is made, apart from what it is.

    Attributes:
        checkpoint_minutes: see `avbench.experiment.run_experiment`; None for no checkpoints.
        track: where it logs to: "csv", "tensorboard", "wandb".
    """

    checkpoint_minutes: float | None = DEFAULT_MINUTES
    track: tuple[Kind, ...] = ()

    def arguments(self) -> list[str]:
        """Return them as options of `avbench run`."""
        minutes = self.checkpoint_minutes
        saving = ["--no-checkpoints"] if minutes is None else ["--checkpoint-minutes", str(minutes)]
        return [*saving, *(["--log", ",".join(self.track)] if self.track else [])]


def make_run(
    settings: dict[str, Any],
    results: str,
    log: str,
    options: RunOptions,
    *,
    preemption: Preemption | None = None,
) -> str:
    """Make the run that `settings` describe, or go on with it; return "" or why it failed, in a line.

    An error is returned, not raised: it would be the same on another machine. What is worth another try
    is a process that died, which returns nothing, or that was asked to end.

    Args:
        settings: as in a configuration file; paths are absolute.
        results: folder of all results, on a disk that all machines share.
        log: file for its messages.
        options: how it is made.
        preemption: see `avbench.experiment.run_experiment`.

    Raises:
        RunInterruptedError: the process was asked to end; the run is saved.
    """
    from avbench.configuration import Layer
    from avbench.experiment import RunInterruptedError, run_experiment
    from avbench.resolving import resolve

    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with Path(log).open("a", encoding="utf-8") as file:
        console = Console(file=file, width=200)
        try:
            config = resolve([Layer("the sweep", settings)])
            run_experiment(
                config,
                results=Path(results),
                checkpoint_minutes=options.checkpoint_minutes,
                log=options.track,
                preemption=preemption,
                console=console,
            )
        except RunInterruptedError as error:
            console.print(str(error), markup=False)
            raise
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
