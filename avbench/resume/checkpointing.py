"""How a run is saved on its way and goes on after a stop, to the same result bit for bit.

A checkpoint holds the training (`avbench.resume.training_state`) and the findings so far. It is made between
two steps every few minutes, after the training of a task, after its measurement, and when the user or a
cluster stops the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from avbench import processes
from avbench.errors import AvbenchError, RunError
from avbench.findings import Findings, now
from avbench.records import Environment
from avbench.resume.checkpoints import Checkpoint, last_checkpoint, save_checkpoint
from avbench.resume.interruption import Interruption
from avbench.resume.training_state import load_training_state, training_state
from avbench.steps import StepReport, TrainingTime
from avbench.training import ContinualPretraining

DEFAULT_MINUTES = 5.0
# Saving is made rarer until it takes no more than this share of the time.
LARGEST_SHARE = 0.02


def checkpoint_folder(results: Path, record: Path) -> Path:
    """Return where the checkpoints of the run with this record are: below `results`, in checkpoints."""
    return results / "checkpoints" / record.relative_to(results / "runs").with_suffix("")


class Checkpointer:
    """Saves a run while it is trained: told of every step, as an observer of training.

    Args:
        folder: of the run's checkpoints, from `checkpoint_folder`.
        header: of the run's record.
        strategy, findings: of the run.
        interruption: stops the run between two steps, when it is saved.
        minutes: between two checkpoints at least; 0 saves after every step, None never.
    """

    def __init__(
        self,
        folder: Path,
        header: Mapping[str, Any],
        strategy: ContinualPretraining,
        findings: Findings,
        *,
        interruption: Interruption,
        minutes: float | None,
    ) -> None:
        self._folder, self._header = folder, header
        self._strategy, self._findings = strategy, findings
        self._interruption = interruption
        self._minutes = minutes
        self._saved_at = time.perf_counter()
        self._cost = 0.0

    def on_step(self, report: StepReport) -> None:
        """Save if it is time or asked for, or if the run is to stop, which ends here then."""
        if processes.anywhere(self._interruption.requested):
            self.save(in_task=True)
            self._interruption.check()
        if self._interruption.asks_to_save():
            self.save(in_task=True)
        if self._minutes is not None:
            waited = time.perf_counter() - self._saved_at
            due = self._minutes == 0 or waited >= max(60 * self._minutes, self._cost / LARGEST_SHARE)
            # One process's clock tells all.
            if processes.of_first(due):
                self.save(in_task=True)

    def save(self, *, in_task: bool) -> None:
        """Save now, `in_task` between two steps of a task, otherwise between two tasks.

        Raises:
            DataError: the checkpoint could not be written.
        """
        if self._minutes is None:
            return
        began = time.perf_counter()
        with self._findings.timed("save"):
            state = {
                "training": training_state(self._strategy),
                "time": asdict(self._strategy.time),
                "findings": self._findings.state(),
                "in task": in_task,
                "with gradient": [each.grad is not None for each in _trained(self._strategy)],
            }
            save_checkpoint(self._folder, state, _about(self._header, self._strategy, in_task))
        self._saved_at = time.perf_counter()
        self._cost = self._saved_at - began


def resume(
    folder: Path,
    header: Mapping[str, Any],
    strategy: ContinualPretraining,
    findings: Findings,
    *,
    tell: Callable[[str], None],
) -> bool:
    """Bring `strategy` and `findings` to where the last checkpoint was made, if there is one.

    Args:
        folder: of the run's checkpoints.
        header: of the record of the run that is to go on.
        strategy: freshly made.
        findings: of this process so far; become those of the whole run.
        tell: is told where the run goes on, and what differs; `findings.notes` keep what does.

    Returns:
        whether the run stands in the midst of a task, so that `ContinualPretraining.resume` must finish it.

    Raises:
        RunError: the checkpoint does not fit the run, although it has the same settings.
    """
    checkpoint = last_checkpoint(folder, device=torch.device(strategy.device), tell=tell)
    if checkpoint is None:
        return False
    _check(checkpoint, header)
    state = checkpoint.state
    try:
        load_training_state(strategy, state["training"])
    except AvbenchError as error:
        raise RunError(
            f"{checkpoint.path} does not fit this run: {error}; go back to the avbench that began it "
            f"({_maker(checkpoint.about)}), or start over with --again"
        ) from error
    strategy.time = TrainingTime(**state["time"])
    # Each step begins with clearing them; but the account of memory counts them, and it may be that no step
    # is left to be taken.
    for parameter, has_gradient in zip(_trained(strategy), state["with gradient"], strict=True):
        parameter.grad = torch.zeros_like(parameter) if has_gradient else None
    findings.go_on_from(state["findings"])
    ours = _environment(header)
    findings.resumed.append(f"{now()} ({_maker(ours)})")
    about = checkpoint.about
    tell(f"Going on where this run stopped on {about['saved']}: {about['where']}.")
    differing = _differing(about, ours)
    if differing:
        may = f"({', '.join(differing)}), so the result may differ from that of a run without a stop"
        tell(f"It goes on otherwise than it was saved {may}; the record notes it. --again starts over.")
        findings.notes.append(f"the run went on, {about['where']}, otherwise than it was saved {may}")
    return bool(state["in task"])


def _trained(strategy: ContinualPretraining) -> list[torch.Tensor]:
    return [each for group in strategy.optimizer.param_groups for each in group["params"]]


def _about(header: Mapping[str, Any], strategy: ContinualPretraining, in_task: bool) -> dict[str, Any]:
    clock = strategy.clock
    tasks = header["tasks"]
    where = f"{clock.train_exp_counter} tasks trained"
    if in_task:
        number = clock.train_exp_counter + 1
        where = (
            f"task {number}/{len(tasks)}, epoch {clock.train_exp_epochs + 1}/{strategy.settings.epochs}, "
            f"{clock.train_epoch_iterations} steps done"
        )
    return {
        "scenario": header["scenario"],
        "strategy": header["strategy"],
        "identity": header["identity"],
        "seed": header["seed"],
        "where": where,
        "saved": now(),
        **_environment(header),
    }


def _environment(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that may move a result, be it by the rounding of a sum alone."""
    found: Environment = header["environment"]
    return {
        "versions": dict(found.versions),
        "commit": found.commit,
        "machine": {
            "threads": str(header["configuration"]["threads"]),
            "processor": found.hardware["processor"],
            # Of one kind there are several numbers, which compute alike.
            "device": found.hardware.get("accelerator", found.device),
        },
    }


def _differing(about: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Return what differs between a checkpoint and this process, such as "threads 1 -> 2"."""
    pairs = [("commit", about["commit"], ours["commit"])]
    # Checkpoints of earlier versions do not tell the machine.
    for part, absent in (("versions", "none"), ("machine", "unknown")):
        theirs = about.get(part, {})
        names = sorted(theirs.keys() | ours[part].keys())
        pairs += [(name, theirs.get(name, absent), ours[part].get(name, absent)) for name in names]
    return [f"{name} {before} -> {after}" for name, before, after in pairs if before != after]


def _maker(about: Mapping[str, Any]) -> str:
    commit = f"commit {about['commit'][:12]}" if about["commit"] else "no commit"
    return f"avbench {about['versions'].get('avbench', '?')}, {commit}"


def _check(checkpoint: Checkpoint, header: Mapping[str, Any]) -> None:
    for name in ("scenario", "strategy", "identity", "seed"):
        if checkpoint.about.get(name) != header[name]:
            raise RunError(
                f"{checkpoint.path} is of another run: its {name} is {checkpoint.about.get(name)!r}, not "
                f"{header[name]!r}; move it away, or start over with --again"
            )
