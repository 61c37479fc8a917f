"""What training tells of its steps: where it stands, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

LOSSES = ("loss", "audio reconstruction", "video reconstruction", "contrast", "added by the method")
"""What is minimised, "loss", and its parts, by name.

    loss = audio reconstruction + video reconstruction + contrastive weight x contrast + added by the method

Contrast is not weighted. All are means over the clips that were trained on, rehearsed ones that a method
joins included (`avbench.objectives`); what a method added is whatever it made of the sum of the others.
"""


@dataclass(frozen=True)
class StepReport:
    """Where training stands after an optimiser step.

    Attributes:
        task: how many tasks were finished before, so 0 in the first.
        epoch, step: counted from 0 within the task and within the epoch.
        epochs, steps: how many there are.
        losses: of the batch, by the names in `LOSSES`.
        clips: clips of the stream in this step; rehearsed ones do not count.
        seconds: that the step took, with the wait for its clips.
    """

    task: int
    epoch: int
    epochs: int
    step: int
    steps: int
    losses: dict[str, float]
    clips: int
    seconds: float

    @property
    def loss(self) -> float:
        """What was minimised."""
        return self.losses["loss"]


class TrainingObserver(Protocol):
    """Is told of every optimiser step: progress bars, logs, checkpoints."""

    def on_step(self, report: StepReport) -> None:
        """Called when the step is over, before the next batch is fetched: all state may be saved."""


@dataclass
class TrainingTime:
    """Totals of a run: seconds waiting for clips, seconds computing, and clips of the stream trained on."""

    loading: float = 0.0
    computing: float = 0.0
    clips: int = 0

    @property
    def clips_per_second(self) -> float:
        """Clips of the stream per second of training, with the wait for them; 0 before the first step."""
        seconds = self.loading + self.computing
        return self.clips / seconds if seconds else 0.0
