"""Figures made from run records; each says where its clips come from. Reads records only, needs no torch.

Methods keep their colour, marker and line style across the figures of one comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from avbench.comparison import Comparison, Entry
from avbench.figures import COLOURS, HATCHES, error_bars, legend_below, new_figure, save, style_of, wrapped
from avbench.records import DIRECTIONS, Direction, RunRecord
from avbench.statistics.averages import average, need_seeds_of_one_run
from avbench.statistics.estimates import Estimate
from avbench.task_curves import METRIC, forgetting_curves

MIB = 2**20
_AT_STEP = "activations, gradients and batch at a step's peak"
# What is held, in the order it is stacked; the rest of a step's peak comes on top.
_HELD = ("parameters", "optimiser state", "other state")
_DIRECTION_NAMES: dict[Direction, str] = {"A2V": "audio to video", "V2A": "video to audio"}


def write_plots(comparison: Comparison, folder: Path) -> list[Path]:
    """Draw every figure of `comparison` that its records have the numbers for; return the files written.

    Raises:
        DataError: a file cannot be written.
    """
    paths: list[Path] = []
    for name, figure in _figures(comparison):
        if figure is not None:
            paths += save(figure, folder / f"{comparison.stem}-{name}")
    return paths


def _figures(comparison: Comparison) -> Iterator[tuple[str, Figure | None]]:
    """Draw one after the other, so that each can be written and closed before the next."""
    yield "memory", memory_by_kind(comparison)
    yield "accuracy-against-memory", accuracy_against_memory(comparison)
    yield "forgetting", forgetting_curves(comparison)
    for entry in comparison.entries:
        name = entry.name if not entry.differing else f"{entry.name}-{entry.identity}"
        yield f"stages-{name}", heat_map(comparison, entry)


def memory_by_kind(comparison: Comparison) -> Figure | None:
    """Stack what each method needs: its peak step by kind, and the rehearsal memory beside the device.

    None where no run has an account of its memory.
    """
    entries = [entry for entry in comparison.entries if _peak(entry) is not None]
    if not entries:
        return None
    figure, (axes,) = new_figure(height=1.3 + 0.42 * len(entries))
    places = np.arange(len(entries))
    kinds: list[tuple[str, list[float]]] = [
        (kind, [_mebibytes(entry, _of(kind)) for entry in entries]) for kind in _HELD
    ]
    held = np.sum([values for _, values in kinds], axis=0)
    peaks = np.array([_peak(entry) for entry in entries], dtype=float)
    kinds.append((_AT_STEP, list(peaks - held)))
    kinds.append(
        (
            "rehearsal memory, beside the device",
            [_mebibytes(entry, _of("rehearsal memory")) for entry in entries],
        )
    )
    left = np.zeros(len(entries))
    for number, (kind, values) in enumerate(kinds):
        if any(values):
            axes.barh(
                places, values, left=left, label=kind, color=COLOURS[number], hatch=HATCHES[number],
                edgecolor="black", linewidth=0.5, height=0.65,
            )  # fmt: skip
        left += values
    for place, end in zip(places, left, strict=True):
        axes.annotate(
            f"{end:,.0f}", (end, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.set_yticks(places, [entry.label for entry in entries])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.1, y=0.02)
    axes.set_xlabel("MiB")
    figure.suptitle(f"Memory by kind\n{comparison.title}", fontsize=10)
    legend_below(figure, axes, 2)
    return figure


def accuracy_against_memory(comparison: Comparison) -> Figure | None:
    """Set each method's A against the memory it needs: rehearsal memory, and peak of a step.

    None where no run has both.
    """
    entries = [(number, entry) for number, entry in enumerate(comparison.entries) if _peak(entry) is not None]
    if not entries:
        return None
    figure, all_axes = new_figure(1, 2, height=3.6, sharey=True)
    sides: list[tuple[str, Callable[[Entry], float]]] = [
        ("rehearsal memory, MiB", lambda entry: _mebibytes(entry, _of("rehearsal memory"))),
        ("peak of a training step, MiB", lambda entry: _peak(entry) or 0.0),
    ]
    for axes, (heading, read) in zip(all_axes, sides, strict=True):
        for number, entry in entries:
            score = over_directions(entry)
            axes.errorbar(
                read(entry), score.mean, yerr=error_bars([score]),
                **(style_of(number) | {"linestyle": "none"}), markersize=7, markeredgecolor="black",
                markeredgewidth=0.5, capsize=3, label=entry.label,
            )  # fmt: skip
        axes.axhline(comparison.example.chance[METRIC], color="0.4", linestyle=":", linewidth=1)
        axes.set_xlabel(heading)
        axes.set_ylim(bottom=0)
        axes.margins(0.12)
    all_axes[0].set_ylabel("average accuracy A, percent")
    all_axes[0].annotate(
        "chance", (1, comparison.example.chance[METRIC]), xycoords=("axes fraction", "data"),
        xytext=(0, 2), textcoords="offset points", ha="right", fontsize=8, color="0.3",
    )  # fmt: skip
    figure.suptitle(
        f"Accuracy against memory (mean of R@1, 5, 10 and of both directions)\n{comparison.title}",
        fontsize=10,
    )
    legend_below(figure, all_axes[0], 4)
    return figure


def heat_map(comparison: Comparison, entry: Entry) -> Figure | None:
    """Draw one method's stage x task matrices, a panel a direction, mean over seeds. None without runs."""
    if not entry.runs:
        return None
    tasks = comparison.example.tasks
    need_seeds_of_one_run(entry.runs)
    stages = entry.runs[0].stages
    matrices = {
        direction: np.mean([run.recall[direction][METRIC] for run in entry.runs], axis=0)
        for direction in DIRECTIONS
    }
    highest = max(float(matrix.max()) for matrix in matrices.values())
    figure, all_axes = new_figure(1, 2, width=7.5, height=1.6 + 0.32 * max(3, len(stages)), sharey=True)
    for axes, direction in zip(all_axes, DIRECTIONS, strict=True):
        matrix = matrices[direction]
        axes.imshow(matrix, cmap="cividis", vmin=0, vmax=highest or 1, aspect="auto")
        for (stage, task), value in np.ndenumerate(matrix):
            # Cividis is dark at its low end.
            ink = "white" if value < 0.55 * highest else "black"
            axes.text(
                task,
                stage,
                f"{value:.0f}" if highest >= 10 else f"{value:.1f}",
                ha="center",
                va="center",
                color=ink,
                fontsize=7,
            )
        axes.grid(visible=False)
        axes.set_xticks(range(len(tasks)), tasks, rotation=45, ha="right", rotation_mode="anchor", fontsize=7)
        axes.set_yticks(range(len(stages)), stages, fontsize=7)
        axes.set_title(_DIRECTION_NAMES[direction], fontsize=9)
        axes.set_xlabel("recall on task")
    all_axes[0].set_ylabel("after training on")
    seeds = f"mean of {len(entry.runs)} seeds" if len(entry.runs) > 1 else "one seed"
    name = wrapped([entry.name, *entry.differing], 80)
    figure.suptitle(
        f"{name}: recall in percent (mean of R@1, 5, 10), {seeds}\n{comparison.title}", fontsize=10
    )
    return figure


def _of(kind: str) -> Callable[[RunRecord], float]:
    return lambda run: run.memory.of(kind) if run.memory else 0.0


def _mebibytes(entry: Entry, read: Callable[[RunRecord], float]) -> float:
    return average(entry.runs, read).mean / MIB


def _peak(entry: Entry) -> float | None:
    """Mean peak of a step in MiB; None where a run lacks it."""
    peaks = {run.seed: run.memory.peak_step if run.memory else None for run in entry.runs}
    known = {seed: peak for seed, peak in peaks.items() if peak is not None}
    if not known or len(known) < len(peaks):
        return None
    return average(entry.runs, lambda run: known[run.seed]).mean / MIB


def over_directions(entry: Entry) -> Estimate:
    """Return A of the drawn metric, mean of both directions, over the seeds of an entry that has runs."""
    return average(
        entry.runs, lambda run: float(np.mean([run.summary[way][METRIC].average for way in DIRECTIONS]))
    )
