"""Curves of every task along the stream, one panel a task, one line a method: recall, and modality gap.

Reads records only, needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from avbench.comparison import Comparison, Entry
from avbench.figures import legend_below, new_figure, style_of
from avbench.records import DIRECTIONS, Metric, RunRecord
from avbench.statistics.averages import average
from avbench.statistics.estimates import Estimate

METRIC: Metric = "mean"
"""What is drawn: the mean of R@1, R@5 and R@10."""

# So many methods have the intervals of their curves drawn.
_WITH_INTERVALS = 6


def forgetting_curves(comparison: Comparison) -> Figure | None:
    """Draw recall on every task after each stage. None where no method has stages.

    The stage in which a task was trained is marked. Intervals over seeds are shown for few methods only:
    those of many would hide the lines, and tables have them.
    """
    chance = comparison.example.chance[METRIC]
    return _curves(
        comparison,
        recall_of_tasks,
        quantity="recall, percent",
        title="Recall of each task along the stream (mean of R@1, 5, 10 and of both directions)\n"
        f"{comparison.title}\ngrey: the task's own stage; dotted: chance",
        on_every_panel=lambda axes: axes.axhline(chance, color="0.4", linestyle=":", linewidth=1),
    )


def modality_gap_curves(comparison: Comparison) -> Figure | None:
    """Draw the modality gap of every task after each stage. None where no method has stages.

    The gap: distance between the mean unit embeddings of audio and of video on a task's retrieval clips.
    """
    return _curves(
        comparison,
        lambda run: run.modality_gap,
        quantity="modality gap",
        title="Modality gap of each task along the stream (distance of the mean unit embeddings)\n"
        f"{comparison.title}\ngrey: the task's own stage",
    )


def recall_of_tasks(run: RunRecord) -> Sequence[Sequence[float]]:
    """Return the stage x task matrix of the drawn metric, mean of both directions."""
    both = np.mean([run.recall[way][METRIC] for way in DIRECTIONS], axis=0)
    return [[float(value) for value in row] for row in both]


def curve_of(
    entry: Entry, read: Callable[[RunRecord], Sequence[Sequence[float]]], stage: int, task: int
) -> Estimate:
    """Return the mean over an entry's seeds of one number of the stage x task matrix that `read` returns."""
    return average(entry.runs, lambda run: read(run)[stage][task])


def _curves(
    comparison: Comparison,
    read: Callable[[RunRecord], Sequence[Sequence[float]]],
    *,
    quantity: str,
    title: str,
    on_every_panel: Callable[[Any], Any] = lambda axes: None,
) -> Figure | None:
    tasks = comparison.example.tasks
    entries = [
        (number, entry) for number, entry in enumerate(comparison.entries) if entry.runs and not entry.joint
    ]
    if not entries:
        return None
    columns = min(4, len(tasks))
    rows = -(-len(tasks) // columns)
    few = len(entries) <= _WITH_INTERVALS
    height = 1.2 + (1.7 if few else 2.4) * rows
    figure, all_axes = new_figure(rows, columns, width=7.5, height=height, sharex=True, sharey=True)
    stages = np.arange(1, len(tasks) + 1)
    for task, axes in enumerate(all_axes):
        if task >= len(tasks):
            axes.set_visible(False)
            continue
        axes.axvline(task + 1, color="0.6", linewidth=5, alpha=0.4)
        on_every_panel(axes)
        for number, entry in entries:
            curve = [curve_of(entry, read, stage, task) for stage in range(len(stages))]
            means = np.array([point.mean for point in curve])
            style = style_of(number)
            axes.plot(stages, means, **style, markersize=3.5, linewidth=1.2, label=entry.label)
            if few and all(point.interval != "none" for point in curve):
                lows = np.array([point.low for point in curve], dtype=float)
                highs = np.array([point.high for point in curve], dtype=float)
                axes.fill_between(stages, lows, highs, color=style["color"], alpha=0.15, linewidth=0)
        axes.set_title(f"{task + 1}: {tasks[task]}", fontsize=9)
        if task + columns >= len(tasks):
            axes.set_xlabel("after training on task")
            # A panel above one that is not there keeps its numbers.
            axes.tick_params(labelbottom=True)
        if task % columns == 0:
            axes.set_ylabel(quantity)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    # Shared by all panels, so only now that all curves are in them: it ends their scaling.
    all_axes[0].set_ylim(bottom=0)
    figure.suptitle(title, fontsize=10)
    legend_below(figure, all_axes[0], 4)
    return figure
