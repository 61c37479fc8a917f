"""The one number of a run that a comparison is about, and what it is made of task by task.

Reads records only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from avbench.forgetting import forgetting_by_task
from avbench.records import DIRECTIONS, METRICS, Direction, Metric, RunRecord

Measure = Literal["A", "F"]
MEASURES: dict[str, Measure] = {"A": "A", "F": "F"}
"""Average accuracy and forgetting (standard), by the names a person gives."""

METRIC_NAMES: dict[str, Metric] = {metric: metric for metric in METRICS}
"""Metrics, by the names a person gives."""

Side = Literal["A2V", "V2A", "both"]
SIDES: dict[str, Side] = {"both": "both", "A2V": "A2V", "V2A": "V2A"}
"""One direction, or the mean of both, by the names a person gives."""

_NAMES = {"A": "average accuracy A", "F": "forgetting F"}
_SIDE_NAMES = {"A2V": "audio to video", "V2A": "video to audio", "both": "both directions"}


@dataclass(frozen=True)
class Score:
    """Which number of a run is compared; percent.

    Attributes:
        measure: average accuracy (more is better) or forgetting (less is better).
        metric: of R@1, R@5, R@10 and their mean.
        side: a direction of retrieval, or the mean of both.
    """

    measure: Measure = "A"
    metric: Metric = "mean"
    side: Side = "both"

    @property
    def title(self) -> str:
        """What a caption says, such as "average accuracy A (R@1, audio to video)"."""
        metric = "mean of R@1, R@5 and R@10" if self.metric == "mean" else self.metric
        return f"{_NAMES[self.measure]} ({metric}, {_SIDE_NAMES[self.side]})"

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.measure == "A" else -1

    def of(self, record: RunRecord) -> float | None:
        """Return the score of a finished run; None where it is not defined (F of one stage)."""
        scores = [record.summary[way][self.metric] for way in self._directions]
        values = [each.average if self.measure == "A" else each.forgetting for each in scores]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if len(known) == len(values) else None

    def of_tasks(self, record: RunRecord) -> dict[str, float]:
        """Return the score of each task, by its name, of which `of` is the mean.

        F has no score of the last task, which was never followed by another; a run of one stage has none.
        """
        by_direction = []
        for way in self._directions:
            matrix = record.recall[way][self.metric]
            by_direction.append(matrix[-1] if self.measure == "A" else forgetting_by_task(matrix) or [])
        means = [float(np.mean(values)) for values in zip(*by_direction, strict=True)]
        # F ends a task earlier.
        return dict(zip(record.tasks, means, strict=False))

    @property
    def _directions(self) -> tuple[Direction, ...]:
        return DIRECTIONS if self.side == "both" else (self.side,)
