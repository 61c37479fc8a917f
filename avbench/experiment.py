"""One run from configuration to record: it is prepared, made by one process at a time, and kept.

What it is put together from is in `avbench.run_parts`, its training and measuring in `avbench.stages`.

A run that ends early leaves a record too, which says how it ended and holds what was measured until then;
the next call goes on from its last checkpoint (`avbench.resume.checkpointing`). A finished run is not
repeated, and never replaced by one that did not finish.

Of several processes that make a run (`avbench.processes`) the first holds its lock, writes its record, logs,
shows how it goes and makes the exhibits; all train, measure and save.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from avbench import processes
from avbench.configuration import RunConfig
from avbench.devices import compute_exactly
from avbench.errors import AvbenchError, DataError, RunError
from avbench.exhibits.making import leave_exhibits
from avbench.findings import Findings, record_of
from avbench.lock import held
from avbench.loggers import Kind, check_kinds
from avbench.progress import RunProgress, StagePlan, say
from avbench.record_files import log_folder, read_record, write_record
from avbench.records import Ending, RunRecord
from avbench.resume.checkpointing import DEFAULT_MINUTES, checkpoint_folder
from avbench.resume.checkpoints import any_checkpoint, remove_checkpoints
from avbench.resume.interruption import Interruption, Preemption
from avbench.run_parts import RunParts, prepare_run
from avbench.stages import train_and_measure
from avbench.tracking import Tracking


class RunInterruptedError(AvbenchError):
    """The user stopped a run."""

    # What shells report for a command ended by Ctrl-C.
    exit_code = 130


class RunPreemptedError(RunInterruptedError):
    """A cluster takes the machine away from a run, which is to be put into its queue again."""


@dataclass(frozen=True)
class Outcome:
    """A run's record, where it is, and whether it was there before so that nothing was run."""

    record: RunRecord
    path: Path
    repeated: bool


@dataclass(frozen=True)
class _Saving:
    """Where checkpoints go, how many minutes lie between two (None: no checkpoints), and of which command."""

    folder: Path
    minutes: float | None
    again: bool  # the command starts over, so that it is another one that goes on


def run_experiment(
    config: RunConfig,
    *,
    results: Path,
    again: bool = False,
    checkpoint_minutes: float | None = DEFAULT_MINUTES,
    log: Sequence[Kind] = (),
    preemption: Preemption | None = None,
    console: Console | None = None,
) -> Outcome:
    """Make the run that `config` describes, or return its record if there is a finished one.

    A run that was stopped, however, goes on from its last checkpoint.

    Args:
        config: from `avbench.resolving.resolve`.
        results: folder of all results; the record lies below it.
        again: run from the start even if there is a finished record or a checkpoint, and replace it.
        checkpoint_minutes: between two checkpoints at least; 0 saves after every step, None never.
        log: kinds of loggers that are told how it goes (`avbench.tracking`); they change no result.
        preemption: by the cluster whose job this process is; None where it is none.
        console: where progress is shown; standard error by default.

    Raises:
        InputError, DataError: clips, start, strategy or a logger cannot be had; or several processes are to
            make a run of a method that is not known to be right over several.
        RunError: training failed, or another process is making this very run.
        RunInterruptedError: Ctrl-C, or a request to terminate; RunPreemptedError where a cluster asks for it.
    """
    log = check_kinds(log)
    first = processes.rank() == 0
    if not first:
        console, log = Console(stderr=True, quiet=True), ()
    console = console or Console(stderr=True)
    torch.set_num_threads(config.threads)
    findings = Findings()
    with compute_exactly():
        try:
            with findings.timed("prepare"):
                parts = prepare_run(config, console)
        except KeyboardInterrupt:
            raise RunInterruptedError(
                "interrupted before training began; the same command goes on with preparing"
            ) from None
        path = parts.plan.record_path(results)
        with held(path, f"this run ({parts.plan.name})") if first else nullcontext():
            folder = checkpoint_folder(results, path)
            earlier, whole = processes.of_first(_left(path, folder, again=again) if first else (None, False))
            if earlier is None or not earlier.finished or not whole:
                saving = _Saving(folder, checkpoint_minutes, again)
                warn = partial(say, console, style="yellow")
                with Tracking(log, log_folder(results, path), parts.header, findings, warn=warn) as tracking:
                    record = _run(
                        parts, findings, path, saving, tracking, preemption=preemption, console=console
                    )
                repeated = False
            else:
                record, repeated = earlier, True
            if first:
                remove_checkpoints(folder)
            return Outcome(record, path, repeated)


def _left(path: Path, folder: Path, *, again: bool) -> tuple[RunRecord | None, bool]:
    """Return the record that there is, and whether nothing is left to be made of its run."""
    earlier = read_record(path) if path.exists() and not again else None
    if again:
        remove_checkpoints(folder)
    # Checkpoints go when all is made: where there are any, exhibits are lacking, or a repetition of the run
    # was stopped.
    return earlier, not any_checkpoint(folder)


def _run(
    parts: RunParts,
    findings: Findings,
    path: Path,
    saving: _Saving,
    tracking: Tracking,
    *,
    preemption: Preemption | None,
    console: Console,
) -> RunRecord:
    """Train and measure; write the record, however that ends."""
    progress = RunProgress(
        [StagePlan(each.task_name, len(each.dataset)) for each in parts.stream.experiences],
        epochs=parts.plan.config.epochs,
        evaluations=len(parts.stream.experiences) + 1,
        console=console,
    )
    ending = Ending(how="failed")
    interruption = Interruption(lambda sentence: say(console, sentence, style="bold yellow"), preemption)
    try:
        with interruption.watched(), progress:
            strategy = train_and_measure(
                parts,
                findings,
                progress,
                checkpoints=saving.folder,
                checkpoint_minutes=saving.minutes,
                tracking=tracking,
                interruption=interruption,
            )
        ending = Ending(how="finished")
    except KeyboardInterrupt:
        ending = Ending(how="interrupted")
        done = f"after {len(findings.stages)} of {len(parts.stream.experiences)} stages"
        raise (RunPreemptedError if interruption.preempted else RunInterruptedError)(
            f"interrupted {done}; what was measured is in {path}. The same command"
            f"{' without --again' if saving.again else ''} goes on from "
            + ("the last checkpoint" if any_checkpoint(saving.folder) else "the start: nothing was saved")
        ) from None
    except torch.OutOfMemoryError as error:
        ending = Ending(how="failed", error=str(error))
        raise RunError(
            f"the device is out of memory: {error}; try a smaller micro_batch_size or precision bfloat16"
        ) from error
    except BaseException as error:
        ending = Ending(how="failed", error="".join(traceback.format_exception(error)))
        raise
    finally:
        record = _keep(parts, findings, ending, path)
        # Only now, since W&B may take minutes to send what it has; what fails there goes into the record. Who
        # preempts a run does not wait for that.
        noted = len(findings.notes)
        if interruption.preempted:
            tracking.leave()
        else:
            tracking.close(finished=record.finished)
        if len(findings.notes) > noted:
            record = _keep(parts, findings, ending, path)
    if processes.rank() > 0:
        return record
    # After the record: what fails here, or is interrupted, costs no scores, and is made up from a checkpoint.
    try:
        with processes.alone():
            leave_exhibits(parts.plan.config, parts.stream, strategy, record, path)
    except KeyboardInterrupt:
        raise RunInterruptedError(
            f"interrupted after the last stage: the record {path} is whole, but the exhibits for pictures "
            "are not made; the same command makes them from the last checkpoint, with --again from the start"
        ) from None
    return record


def _keep(parts: RunParts, findings: Findings, ending: Ending, path: Path) -> RunRecord:
    record = record_of(parts.header, findings, ending)
    if processes.rank() == 0 and (record.finished or not _is_finished(path)):
        write_record(record, path)
    return record


def _is_finished(path: Path) -> bool:
    try:
        return path.exists() and read_record(path).finished
    except DataError:
        return False  # a damaged one, which --again replaces
