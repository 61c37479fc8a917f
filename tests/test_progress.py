"""Progress: one line an epoch where there is no terminal, bars where there is."""

from __future__ import annotations

import io

from rich.console import Console

from avbench.progress import RunProgress, StagePlan, clock
from avbench.steps import StepReport

STAGES = [StagePlan("sports", 20), StagePlan("music", 20)]


def steps(progress: RunProgress, task: int, epochs: int = 2) -> None:
    for epoch in range(epochs):
        for step in range(2):
            progress.on_step(
                StepReport(
                    task=task, epoch=epoch, epochs=epochs, step=step, steps=2,
                    losses={"loss": 1.0 + step}, clips=10, seconds=0.5,
                )
            )  # fmt: skip


def show(*, terminal: bool) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=200)
    with RunProgress(STAGES, epochs=2, evaluations=3, console=console) as progress:
        steps(progress, 0)
        steps(progress, 1)
    return text.getvalue()


def test_a_line_an_epoch_in_a_log() -> None:
    lines = show(terminal=False).splitlines()
    assert lines == [
        "task 1/2 sports, epoch 1/2: loss 1.500, 20 clips/s, 25% done, 0:03 left",
        "task 1/2 sports, epoch 2/2: loss 1.500, 20 clips/s, 50% done, 0:02 left",
        "task 2/2 music, epoch 1/2: loss 1.500, 20 clips/s, 75% done, 0:01 left",
        "task 2/2 music, epoch 2/2: loss 1.500, 20 clips/s, 100% done, 0:00 left",
    ]


def test_bars_on_a_terminal() -> None:
    shown = show(terminal=True)
    for part in ("task 2/2 music, epoch 2/2", "loss 1.500", "20 clips/s", "100%", "left"):
        assert part in shown


def test_time_left_counts_the_measurements_to_come(monkeypatch) -> None:
    seconds = iter([100.0, 110.0])
    monkeypatch.setattr("avbench.progress.time.perf_counter", lambda: next(seconds))
    progress = RunProgress(STAGES, epochs=2, evaluations=3, console=Console(file=io.StringIO()))
    assert progress.time_left() == "?"
    with progress.measuring("at the start"):
        pass
    steps(progress, 0)
    # 40 clips at 20 a second, and two measurements of 10 seconds.
    assert progress.time_left() == "0:22"


def test_clock() -> None:
    assert [clock(value) for value in (0, 59.6, 61, 3600, 7325)] == [
        "0:00",
        "1:00",
        "1:01",
        "1:00:00",
        "2:02:05",
    ]
