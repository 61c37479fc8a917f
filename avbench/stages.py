"""The stages of a run: a task is trained, retrieval is measured, and what was found is kept.

A run that was stopped goes on from its last checkpoint (`avbench.resume.checkpointing`). Several processes
(`avbench.processes`) all train, measure and save; after each task it is checked that they have come to the
same parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from avbench import processes
from avbench.accounting import memory_account
from avbench.backbone.sizes import BACKBONES
from avbench.errors import RunError
from avbench.evaluation import measure_retrieval
from avbench.findings import Findings
from avbench.method import Method
from avbench.progress import RunProgress, say
from avbench.resume.checkpointing import Checkpointer, resume
from avbench.resume.interruption import Interruption
from avbench.run_parts import RunParts
from avbench.settings import TrainingSettings
from avbench.start import fingerprint
from avbench.step_memory import modules_of, step_memory
from avbench.steps import StepReport, TrainingObserver
from avbench.tracking import Tracking
from avbench.training import ContinualPretraining


def train_and_measure(
    parts: RunParts,
    findings: Findings,
    progress: RunProgress,
    *,
    checkpoints: Path,
    checkpoint_minutes: float | None,
    tracking: Tracking,
    interruption: Interruption,
) -> ContinualPretraining:
    """Train a run stage by stage and measure retrieval after each, from its last checkpoint on.

    Args:
        parts: of the run; its modules are trained in place.
        findings: of this process so far; become those of the whole run, and hold what was measured however
            this ends.
        progress, tracking: are told how it goes.
        checkpoints: folder of the run's.
        checkpoint_minutes: between two at least; 0 saves after every step, None never.
        interruption: stops the run between two steps, when it is saved.

    Returns:
        the training after its last stage.
    """
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
    in_task = resume(checkpoints, parts.header, strategy, findings, tell=partial(say, progress.console))
    tracking.start(at_step=strategy.clock.train_iterations)
    checkpointer = Checkpointer(
        checkpoints,
        parts.header,
        strategy,
        findings,
        interruption=interruption,
        minutes=checkpoint_minutes,
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
