"""One run from configuration to record: clips, start, training task by task, retrieval after each.

A run that ends early leaves a record too, which says how it ended and holds what was measured until then;
the next call goes on from its last checkpoint (`avbench.resume.checkpointing`). A finished run is not
repeated, and never replaced by one that did not finish.

Of several processes that make a run (`avbench.processes`) the first holds its lock, writes its record, logs,
shows how it goes and makes the exhibits; all train, measure and save.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from avbench import processes
from avbench.accounting import memory_account
from avbench.backbone.model import CAVMAE
from avbench.backbone.sizes import BACKBONES
from avbench.configuration import RunConfig
from avbench.devices import compute_exactly
from avbench.environment import environment
from avbench.errors import AvbenchError, DataError, InputError, RunError
from avbench.evaluation import measure_retrieval
from avbench.exhibits.making import leave_exhibits
from avbench.findings import Findings, record_of
from avbench.lock import held
from avbench.loggers import Kind, check_kinds
from avbench.matching import AudioVideoMatching
from avbench.method import Method
from avbench.planning import PlannedRun, plan_run
from avbench.progress import RunProgress, StagePlan, say
from avbench.randomness import Randomness
from avbench.records import Ending, RunRecord, log_folder, read_record, write_record
from avbench.resume.checkpointing import DEFAULT_MINUTES, Checkpointer, checkpoint_folder, resume
from avbench.resume.checkpoints import any_checkpoint, remove_checkpoints
from avbench.resume.interruption import Interruption, Preemption
from avbench.settings import TrainingSettings
from avbench.start import fingerprint, make_modules
from avbench.step_memory import modules_of, step_memory
from avbench.steps import StepReport, TrainingObserver
from avbench.streaming import Stream, make_stream, open_store
from avbench.tracking import Tracking
from avbench.training import ContinualPretraining


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


@dataclass(frozen=True)
class _Parts:
    """What a run is put together from."""

    plan: PlannedRun
    stream: Stream
    backbone: CAVMAE
    matching: AudioVideoMatching
    randomness: Randomness
    header: dict[str, Any]  # of the record: all that is known before the run


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
                parts = _prepare(config, console)
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


def _prepare(config: RunConfig, console: Console) -> _Parts:
    """Open the clips, make the model, and fill in the record as far as it is known before the run."""
    plan = plan_run(config)
    config = plan.config
    if processes.count() > 1 and not plan.method.over_processes:
        raise InputError(
            f"{config.strategy} is not made for several processes: what it computes from its own clips would "
            "differ between them. Run it as one process, without torchrun"
        )
    store = open_store(config, plan.scenario, console)
    randomness = Randomness(config.seed, process=processes.rank())
    stream = make_stream(config, plan.scenario, store, randomness, joint=plan.method.joint)
    backbone, matching, start = make_modules(
        config.start, config.backbone, stream.geometry, mask_ratio=config.mask_ratio, randomness=randomness
    )
    if start.report is not None and not start.report.complete:
        say(console, f"The start does not fill the whole model:\n{start.report}", style="yellow")
    header = {
        "scenario": config.scenario,
        "strategy": config.strategy,
        "seed": config.seed,
        "configuration": config.recorded(),
        "identity": plan.identity,
        "source": plan.clips.source,
        "store": plan.clips.name,
        "start": plan.start,
        "plugin_code": plan.plugin_code,
        "needs_boundaries": plan.method.needs_boundaries,
        "tasks": stream.gallery.tasks,
        "gallery": len(stream.gallery),
        "queries": stream.gallery.queries,
        "environment": environment(config.device),
    }
    return _Parts(plan, stream, backbone, matching, randomness, header)


def _run(
    parts: _Parts,
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
            strategy = _train_and_measure(
                parts, findings, progress, saving, tracking=tracking, interruption=interruption
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
        # Only now, since W&B may take minutes to send what it has; what fails there goes into the record.
        noted = len(findings.notes)
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


def _keep(parts: _Parts, findings: Findings, ending: Ending, path: Path) -> RunRecord:
    record = record_of(parts.header, findings, ending)
    if processes.rank() == 0 and (record.finished or not _is_finished(path)):
        write_record(record, path)
    return record


def _is_finished(path: Path) -> bool:
    try:
        return path.exists() and read_record(path).finished
    except DataError:
        return False  # a damaged one, which --again replaces


def _train_and_measure(
    parts: _Parts,
    findings: Findings,
    progress: RunProgress,
    saving: _Saving,
    *,
    tracking: Tracking,
    interruption: Interruption,
) -> ContinualPretraining:
    config, stream = parts.plan.config, parts.stream
    make_method: Callable[[], Method] = partial(parts.plan.method, **config.strategy_options)
    # Measured before the run's own tensors are on the device, which a GPU's allocator would count as well.
    settings = _of_this_process(config.training())
    with findings.timed("measure memory"), processes.alone():
        needed = step_memory(
            make_method,
            size=BACKBONES[config.backbone],
            geometry=stream.geometry,
            settings=settings,
            device=config.device,
            fake=False,
        )
        findings.peak_step, findings.peak_measured_by = needed.peak, needed.measured_by

    method = make_method()
    observers: list[TrainingObserver] = [findings, progress, tracking]
    strategy = ContinualPretraining(
        backbone=parts.backbone,
        matching=parts.matching,
        method=method,
        settings=config.training(),
        randomness=parts.randomness,
        make_loader=stream.make_loader,
        device=config.device,
        observer=_All(observers),
    )
    _check_alike(strategy)
    in_task = resume(saving.folder, parts.header, strategy, findings, tell=partial(say, progress.console))
    tracking.start(at_step=strategy.clock.train_iterations)
    checkpointer = Checkpointer(
        saving.folder, parts.header, strategy, findings, interruption=interruption, minutes=saving.minutes
    )
    # Last: it saves when the others have taken the step into account.
    observers.append(checkpointer)
    progress.go_on_after(strategy.time.clips, measured=len(findings.stages) + (findings.at_start is not None))
    if findings.at_start is None:
        with progress.measuring("at the start"), findings.timed("evaluate"):
            findings.at_start = measure_retrieval(parts.backbone, stream.gallery, config.device)
    tracking.on_start()
    try:
        for number, experience in enumerate(stream.experiences):
            if number >= strategy.clock.train_exp_counter:
                with findings.timed_stage(number), interruption.deferred():
                    if in_task:
                        strategy.resume(experience)
                    else:
                        strategy.train(experience)
                    in_task = False
                    _check_alike(strategy)
                    _account(findings, method, strategy)
                    checkpointer.save(in_task=False)
            if number >= len(findings.stages):
                with progress.measuring(f"after {experience.task_name}"), findings.timed("evaluate"):
                    evaluated = method.evaluated_model(parts.backbone)
                    findings.evaluates_copy = evaluated is not parts.backbone
                    scores = measure_retrieval(evaluated, stream.gallery, config.device)
                findings.stages.append((experience.task_name, scores))
                tracking.on_stage()
                checkpointer.save(in_task=False)
    except BaseException:
        # Others may be elsewhere: what is asked of all is left as it was after the last task.
        if processes.count() == 1:
            _account(findings, method, strategy)
        raise
    return strategy


def _of_this_process(settings: TrainingSettings) -> TrainingSettings:
    """Return `settings` with as many clips in a step and in a pass as this process gets, but one at least."""
    micro = settings.micro_batch_size
    return replace(
        settings,
        batch_size=max(1, processes.part(settings.batch_size)),
        micro_batch_size=None if micro is None else max(1, processes.part(micro)),
    )


def _check_alike(strategy: ContinualPretraining) -> None:
    """Raise RunError where the processes that make the run do not have the same parameters."""
    if processes.count() == 1:
        return
    evaluated = strategy.method.evaluated_model(strategy.model)
    digests = [fingerprint(each.state_dict()) for each in (*modules_of(strategy), evaluated)]
    if any(each != digests for each in processes.gathered(digests)):
        raise RunError(
            f"the {processes.count()} processes have come to different parameters: start them with the same "
            "command, clips, start and versions; if they were, the method is not right over several processes"
        )


def _account(findings: Findings, method: Method, strategy: ContinualPretraining) -> None:
    """Take into account what the run holds and how fast it was; after training, when there are gradients.

    Of several processes each has a part of the rehearsal memory, which is summed, and all of everything else,
    which is counted once.
    """
    account = memory_account(method=method, modules=modules_of(strategy), optimiser=strategy.optimizer)
    account = account.with_rehearsal_memory(processes.total(account.rehearsal_memory))
    findings.memory = account.kinds
    findings.clips_per_second = strategy.time.clips_per_second or None


class _All:
    """Tells several observers of every step, in order."""

    def __init__(self, observers: Sequence[TrainingObserver]) -> None:
        self.observers = observers

    def on_step(self, report: StepReport) -> None:
        """Pass it on."""
        for observer in self.observers:
            observer.on_step(report)
