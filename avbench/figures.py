"""The look of every figure: sizes, colours, and how a file is written.

Readable in print and by colour-blind people: seaborn's "colorblind" palette, and never colour alone (each
method has its marker and line style, each kind of memory its hatching, each cell of a heat map its number).
Files are the same to the byte whenever they are made of the same records.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import seaborn as sns
from matplotlib.figure import Figure

from avbench.files import write_bytes
from avbench.statistics.estimates import Estimate

COLOURS: list[tuple[float, float, float]] = list(sns.color_palette("colorblind"))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
LINES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...", "\\\\\\", "xx", "++")

# matplotlib types its settings as a union of all their names.
_STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "axes.axisbelow": True,
    "hatch.linewidth": 0.6,
    # Text stays text in a PDF, in fonts that publishers accept.
    "pdf.fonttype": 42,
    "svg.hashsalt": "avbench",
}
_DOTS_PER_INCH = 200
# Inches of a figure's height that are there for its legend.
_LEGEND_HEIGHT = 0.6


def new_figure(
    rows: int = 1, columns: int = 1, *, width: float = 6.5, height: float = 3.5, **options: Any
) -> tuple[Figure, list[Any]]:
    """Return an empty figure of `width` x `height` inches and its axes, row by row."""
    with mpl.rc_context(_STYLE):
        # Not through pyplot, which would keep every figure until it is told to forget it.
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.flat)


def drawn(figure: Figure, form: str, *, dots_per_inch: int = _DOTS_PER_INCH) -> bytes:
    """Return `figure` as the contents of a file, "png" or "pdf"; the same figure gives the same bytes."""
    # Neither file may say when it was made.
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None}}[form]
    content = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(content, format=form, dpi=dots_per_inch, metadata=metadata)
    return content.getvalue()


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `figure` as PNG and PDF beside each other, and return the two paths.

    Raises:
        DataError: the folder cannot be written to.
    """
    paths = []
    for form in ("png", "pdf"):
        path = stem.with_name(f"{stem.name}.{form}")
        write_bytes(path, drawn(figure, form), "the figure")
        paths.append(path)
    return paths


def legend_below(figure: Figure, axes: Any, columns: int) -> None:
    """Put the legend of what is in `axes` below the whole figure, which grows where it is a long one.

    It has at most so many columns, and fewer where they would be wider than the figure.
    """
    handles, labels = axes.get_legend_handles_labels()
    legend = None
    for number in range(min(columns, len(labels)), 0, -1):
        if legend is not None:
            legend.remove()
        legend = figure.legend(
            handles, labels, loc="outside lower center", ncols=number, frameon=False, fontsize=8
        )
        if legend.get_window_extent().width <= figure.bbox.width:
            break
    if legend is not None:
        needed = legend.get_window_extent().height / figure.dpi
        figure.set_figheight(figure.get_figheight() + max(0.0, needed - _LEGEND_HEIGHT))


def error_bars(scores: Sequence[Estimate]) -> list[list[float]]:
    """Return how far each interval goes below and above its mean, as matplotlib takes it.

    Not a number, which is not drawn, where there is no interval.
    """
    bounds = [
        (math.nan, math.nan)
        if score.low is None or score.high is None
        else (score.mean - score.low, score.high - score.mean)
        for score in scores
    ]
    return [[low for low, _ in bounds], [high for _, high in bounds]]


def style_of(number: int) -> dict[str, Any]:
    """Return colour, marker and line style of the `number`-th method of a figure.

    Where colours begin again, markers and lines are others: no two of a hundred methods look alike.
    """
    again = number // len(COLOURS)
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[(number + again) % len(MARKERS)],
        "linestyle": LINES[(number + again) % len(LINES)],
    }


def wrapped(words: Sequence[str], width: int) -> str:
    """Join `words` with commas into lines of at most `width` characters, where words allow."""
    lines: list[str] = []
    for number, word in enumerate(words):
        piece = word + ("," if number < len(words) - 1 else "")
        if lines and len(lines[-1]) + 1 + len(piece) <= width:
            lines[-1] += " " + piece
        else:
            lines.append(piece)
    return "\n".join(lines)
