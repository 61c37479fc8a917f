"""What is logged, at which step, after a kill too, and what becomes of a run whose logger fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from avalanche.logging import BaseLogger

from avbench.evaluation import StageScores
from avbench.findings import Findings
from avbench.forgetting import summarise
from avbench.loggers import Kind, OpenLogger
from avbench.records import DIRECTIONS, METRICS
from avbench.steps import StepReport
from avbench.tracking import Tracking

TASKS = ["sports", "music", "vehicle"]
HEADER = {"tasks": TASKS, "configuration": {"seed": 0}}
MATRIX = [[50.0, 4.0, 3.0], [30.0, 60.0, 5.0], [20.0, 45.0, 70.0]]
STEPS, EPOCHS = 7, 2


def scores(row: list[float]) -> StageScores:
    recall = {way: {metric: list(row) for metric in METRICS} for way in DIRECTIONS}
    return StageScores(recall, [value / 100 for value in row])


def take(tracking: Tracking, findings: Findings, steps: range) -> None:
    """Take these optimiser steps of a stream of 3 tasks of 14 steps, with what is between the stages."""
    for number in steps:
        stage, within = divmod(number, STEPS * EPOCHS)
        epoch, step = divmod(within, STEPS)
        losses = {"loss": 1 / (1 + number), "contrast": float(number)}
        report = StepReport(stage, epoch, EPOCHS, step, STEPS, losses, clips=4, seconds=0.5 + number % 2)
        findings.on_step(report)
        tracking.on_step(report)
        if within + 1 == STEPS * EPOCHS:
            findings.stages.append((TASKS[stage], scores(MATRIX[stage])))
            findings.memory, findings.peak_step = [("rehearsal memory", 1000 * stage)], 5000
            tracking.on_stage()


def started(folder: Path, findings: Findings, kinds: Sequence[Kind] = ("csv",), at_step: int = 0) -> Tracking:
    def never(note: str) -> None:
        raise AssertionError(note)

    tracking = Tracking(kinds, folder, HEADER, findings, warn=never)
    tracking.start(at_step=at_step)
    return tracking


def written(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "csv" / "values.csv", float_precision="round_trip")


def series(table: pd.DataFrame, name: str) -> dict[int, float]:
    rows = table[table.name == name]
    return dict(zip(rows.step, rows.value, strict=True))


@pytest.fixture
def whole(tmp_path) -> pd.DataFrame:
    """The log of a whole run."""
    findings = Findings(at_start=scores([1.0, 2.0, 3.0]))
    with started(tmp_path / "whole", findings) as tracking:
        tracking.on_start()
        take(tracking, findings, range(42))
    return written(tmp_path / "whole")


def test_steps_are_those_of_the_whole_stream(whole) -> None:
    assert series(whole, "loss/step") == {step: 1 / step for step in (10, 20, 30, 40)}
    means = series(whole, "loss/epoch mean")
    assert list(means) == [7, 14, 21, 28, 35, 42]
    assert means[14] == pytest.approx(sum(1 / step for step in range(8, 15)) / 7)
    assert series(whole, "contrast/step") == {10: 9, 20: 19, 30: 29, 40: 39}
    assert series(whole, "contrast/epoch mean") == {7: 3, 14: 10, 21: 17, 28: 24, 35: 31, 42: 38}
    # Ten steps of 4 clips, 5 of half a second and 5 of one and a half.
    assert series(whole, "throughput/clips per second") == dict.fromkeys((10, 20, 30, 40), 4.0)


def test_every_stage_has_its_scores_and_memory(whole) -> None:
    assert series(whole, "V2A R@5/music") == {0: 2, 14: 4, 28: 60, 42: 45}
    assert series(whole, "modality gap/sports") == {0: 0.01, 14: 0.5, 28: 0.3, 42: 0.2}
    assert series(whole, "memory bytes/rehearsal memory") == {14: 0, 28: 1000, 42: 2000}
    assert series(whole, "memory bytes/peak of a step") == dict.fromkeys((14, 28, 42), 5000)
    assert series(whole, "stages/finished") == {14: 1, 28: 2, 42: 3}


def test_a_and_f_so_far_are_over_the_tasks_learned_so_far(whole) -> None:
    last = summarise(MATRIX)
    assert series(whole, "A2V mean/A so far") == {14: 50, 28: 45, 42: last.average}
    # After one task nothing can have been forgotten.
    assert series(whole, "A2V mean/F so far") == {28: 20, 42: last.forgetting}


def test_training_on_all_tasks_at_once_has_learned_all(tmp_path) -> None:
    findings = Findings(stages=[("all tasks", scores([10.0, 20.0, 60.0]))])
    with started(tmp_path, findings) as tracking:
        tracking.on_stage()
    assert series(written(tmp_path), "A2V R@1/A so far") == {0: 30}
    assert not written(tmp_path).name.str.contains("F so far").any()


@pytest.mark.parametrize("checkpoint", [3, 10, 14, 24, 28])
def test_a_run_that_was_killed_has_the_logs_of_one_that_was_not(tmp_path, whole, checkpoint) -> None:
    at_start = scores([1.0, 2.0, 3.0])
    findings = Findings(at_start=at_start)
    killed = started(tmp_path / "killed", findings)
    killed.on_start()
    take(killed, findings, range(31))

    # What a checkpoint would have held.
    again = Findings(at_start=at_start)
    take(started(tmp_path, again, kinds=()), again, range(checkpoint))
    with started(tmp_path / "killed", again, at_step=checkpoint) as resumed:
        resumed.on_start()
        take(resumed, again, range(checkpoint, 42))

    def lasting(table: pd.DataFrame) -> list[Any]:
        return table[~table.name.str.startswith("throughput")].to_numpy().tolist()

    assert lasting(written(tmp_path / "killed")) == lasting(whole)


class Breaking(BaseLogger):
    """Breaks at step 20."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []

    def log_single_metric(self, name: str, value: float, x_plot: int) -> None:
        self.steps.append(x_plot)
        if x_plot == 20:
            raise ConnectionResetError("Connection lost")


def tracking_with(
    logger: BaseLogger, close: Callable[[bool], None]
) -> tuple[Tracking, Findings, list[str], list[bool]]:
    findings, said, closed = Findings(), [], []

    def closing(finished: bool) -> None:
        closed.append(finished)
        close(finished)

    opened = OpenLogger("wandb", logger, flush=lambda: None, close=closing)
    other = OpenLogger("csv", BaseLogger(), flush=lambda: None, close=closed.append)
    tracking = Tracking((), Path(), HEADER, findings, warn=said.append)
    tracking._loggers = [opened, other]
    return tracking, findings, said, closed


def refuse(finished: bool) -> None:
    raise ConnectionResetError("still lost")


def test_a_logger_that_fails_is_given_up_once_and_said(tmp_path) -> None:
    logger = Breaking()
    tracking, findings, said, closed = tracking_with(logger, refuse)
    with tracking:
        take(tracking, findings, range(42))
    assert logger.steps[-1] == 20
    assert logger.steps.count(20) == 1
    assert said == findings.notes
    (note,) = said
    assert "logging to wandb failed at optimiser step 20" in note
    assert note.endswith("Connection lost")
    # Closed where it failed, the other one at the end, and neither twice.
    assert closed == [False, True]


def test_what_fails_at_the_end_is_said_too() -> None:
    tracking, findings, said, closed = tracking_with(BaseLogger(), refuse)
    take(tracking, findings, range(3))
    tracking.close(finished=True)
    tracking.close(finished=True)
    assert closed == [True, True]
    assert said == findings.notes
    assert "still lost" in said[0]


def test_logs_are_closed_however_the_run_ends() -> None:
    tracking, _, said, closed = tracking_with(BaseLogger(), lambda finished: None)
    with pytest.raises(KeyboardInterrupt), tracking:
        raise KeyboardInterrupt
    assert closed == [False, False]
    assert said == []


def test_logs_that_are_left_are_not_closed_and_have_what_was_logged(tmp_path) -> None:
    tracking, _, _, closed = tracking_with(BaseLogger(), refuse)
    with tracking:
        tracking.leave()
    assert closed == []
    findings = Findings()
    left = started(tmp_path, findings)
    take(left, findings, range(20))
    left.leave()
    assert max(series(written(tmp_path), "loss/step")) == 20
