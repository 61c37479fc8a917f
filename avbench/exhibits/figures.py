"""Figures made from the exhibits a run left: the modality gap's picture, and what was selected of clips.

Reads exhibits only, needs no torch. A patch grid is drawn as the clip is seen: frames with row 0 on top,
spectrograms with time from left to right and low frequencies at the bottom.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from avbench.comparison import Comparison
from avbench.errors import InputError
from avbench.exhibits import overlays
from avbench.exhibits.file import Exhibits, GalleryPicture, SelectedClips, exhibits_of
from avbench.exhibits.overlays import Picture
from avbench.figures import COLOURS, new_figure, save

Modality = Literal["video", "audio"]

_AUDIO, _VIDEO = "o", "^"
_LEAST = 0.1
# Importance in multiples of its mean; what is beyond gets the colours at the ends.
_IMPORTANCE = ScalarMappable(LogNorm(_LEAST, 10, clip=True), mpl.colormaps["inferno"])
# Pruning probability: blue stays with its own clip, red belongs to the past, grey between.
_PRUNING = ScalarMappable(Normalize(0, 1), mpl.colormaps["coolwarm"])
# A spectrogram is drawn so many times as wide as a frame, at most.
_WIDEST = 3.5


def draw_gallery(exhibits: Exhibits) -> Figure:
    """Draw sounds and videos of all queries in the plane of their principal components, by task.

    Before training beside after the last stage, each in its own plane. A task's mean sound and mean video
    are joined by a line: the modality gap, as far as the plane shows it; its full length is in the titles.
    """
    figure, all_axes = new_figure(1, 2, width=7.5, height=5.0)
    # Both on one scale, so that lengths can be compared.
    planes = (exhibits.at_start.plane, exhibits.at_end.plane)
    reach = 1.05 * max(
        float(np.abs(points).max()) for plane in planes for points in (plane.audio, plane.video)
    )
    pictures = (("before training", exhibits.at_start), ("after the last stage", exhibits.at_end))
    for axes, (when, picture) in zip(all_axes, pictures, strict=True):
        _draw_plane(axes, picture, exhibits.task_of_query, len(exhibits.tasks))
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
        axes.set_title(
            f"{when}\nmodality gap {picture.gap.mean():.2f} "
            f"(tasks: {picture.gap.min():.2f} to {picture.gap.max():.2f})",
            fontsize=9,
        )
    figure.suptitle(f"Sounds and videos of the gallery's queries\n{exhibits.title}", fontsize=10)
    shapes = [
        Line2D([], [], color="0.3", marker=_AUDIO, linestyle="none", markersize=4, label="sound"),
        Line2D([], [], color="0.3", marker=_VIDEO, linestyle="none", markersize=4, label="video"),
        Line2D([], [], color="0.3", marker=_AUDIO, markeredgecolor="black", label="means of a task"),
    ]
    names = [
        Line2D([], [], color=_colour(number), marker="s", linestyle="none", label=task)
        for number, task in enumerate(exhibits.tasks)
    ]
    figure.legend(handles=[*shapes, *names], loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


def draw_selection(exhibits: Exhibits, clip: int) -> Figure:
    """Draw what the method made of one clip: its frames in a row, and beside them its spectrogram.

    Below the clip as it is: the importance of each patch, in multiples of the mean on a logarithmic scale;
    the probability with which it is given up to the past, uncoloured where that is 0 (both where the method
    has them); and the kept patches with the others faded.

    Args:
        exhibits: of a method that selects.
        clip: which of the clips shown, from 0; `exhibits.selected.task[clip]` is its task.

    Raises:
        InputError: the method selects no patches, or shows fewer clips.
    """
    selected = exhibits.selected
    if selected is None:
        raise InputError(f"{exhibits.strategy} trains with all patches: there is no selection to draw")
    if not 0 <= clip < len(selected):
        raise InputError(f"there is no clip {clip}: {len(selected)} are shown, from 0")
    rows = list(_rows(selected, clip))
    frames = selected.frames.shape[1]
    time, bins = selected.spectrogram.shape[1:]
    wide = float(np.clip(time / bins, 1, _WIDEST))
    width, margin = 7.5, 1.15
    columns = frames + 2
    figure, all_axes = new_figure(
        len(rows), columns, width=width, height=1.0 + len(rows) * (width - margin) / (frames + wide),
        width_ratios=[*[1.0] * frames, wide, 0.08],
    )  # fmt: skip
    for number, row in enumerate(rows):
        *of_row, bar = all_axes[number * columns : (number + 1) * columns]
        for axes, picture in zip(of_row, [*row.frames, row.spectrogram], strict=True):
            axes.imshow(picture, aspect="equal", interpolation="nearest")
            axes.grid(visible=False)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        of_row[-1].set_aspect("auto")
        of_row[-1].set_box_aspect(1 / wide)
        of_row[0].set_ylabel(row.name, fontsize=8)
        for axes, note in ((of_row[0], row.video_note), (of_row[-1], row.audio_note)):
            if note:
                axes.text(
                    0.5, 0.5, note, transform=axes.transAxes, ha="center", va="center", fontsize=8,
                    bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85},
                )  # fmt: skip
        if row.scale is None:
            bar.set_visible(False)
            continue
        figure.colorbar(row.scale, cax=bar)
        bar.yaxis.set_major_formatter("{x:g}")
        bar.tick_params(labelsize=7)
        bar.grid(visible=False)
    for number, axes in enumerate(all_axes[:frames]):
        axes.set_title(f"frame {number + 1}", fontsize=8)
    all_axes[frames].set_title("spectrogram", fontsize=8)
    all_axes[-2].set_xlabel("time \N{RIGHTWARDS ARROW}", fontsize=8)
    all_axes[-2].set_ylabel("frequency \N{RIGHTWARDS ARROW}", fontsize=8)
    task = exhibits.tasks[int(selected.task[clip])]
    figure.suptitle(
        f"What is selected of a clip of task {task} (clip {selected.clip[clip]}) after the last stage\n"
        f"{exhibits.title}" + (f"\nimportance: {meaning}" if (meaning := selected.importance_is) else ""),
        fontsize=10,
    )
    return figure


def write_exhibit_figures(comparison: Comparison, results: Path, folder: Path) -> list[Path]:
    """Draw the exhibits of each entry of `comparison`, of its first run that left some; return the files.

    Args:
        comparison: of records below `results`.
        results: folder of results.
        folder: for the figures.

    Raises:
        DataError: exhibits are damaged or another run's, or a file cannot be written.
    """
    paths: list[Path] = []
    for entry in comparison.entries:
        left = (exhibits_of(results, run) for run in entry.runs)
        exhibits = next((found for found in left if found is not None), None)
        if exhibits is None:
            continue
        name = entry.name if not entry.differing else f"{entry.name}-{entry.identity}"
        paths += save(draw_gallery(exhibits), folder / f"{comparison.stem}-gallery-{name}")
        tasks = [] if exhibits.selected is None else exhibits.selected.task.tolist()
        for clip, task in enumerate(tasks):
            stem = f"{comparison.stem}-selection-{name}-{exhibits.tasks[task]}"
            paths += save(draw_selection(exhibits, clip), folder / stem)
    return paths


@dataclass(frozen=True)
class _Row:
    """One row of a figure of a selection.

    Attributes:
        name: what it shows.
        frames, spectrogram: the pictures.
        scale: of what is laid over them; None where nothing is.
        video_note, audio_note: written over where that modality has nothing to lay over.
    """

    name: str
    frames: list[Picture]
    spectrogram: Picture
    scale: ScalarMappable | None = None
    video_note: str = ""
    audio_note: str = ""


def _rows(selected: SelectedClips, clip: int) -> Iterator[_Row]:
    plain = _Row(
        "the clip",
        [overlays.picture_of(frame) for frame in selected.frames[clip]],
        overlays.spectrogram_picture(selected.spectrogram[clip]),
    )
    yield plain
    importance, pruning = _of_clip(selected, "importance", clip), _of_clip(selected, "pruning", clip)
    if importance is not None:
        # A logarithmic scale has no colour for 0, though its first stands for all below.
        over_mean = {
            name: (values / (values.mean() or 1)).clip(_LEAST) for name, values in importance.items()
        }
        yield _heated(plain, "importance,\n\N{MULTIPLICATION SIGN} mean", over_mean, _IMPORTANCE)
    if pruning is not None:
        above_0 = {name: np.where(values > 0, values, np.nan) for name, values in pruning.items()}
        yield _heated(plain, "given up to\nthe past,\nprobability", above_0, _PRUNING)
    video, audio = selected.video.kept[clip], selected.audio.kept[clip]
    yield _Row(
        f"kept:\n{video.mean():.0%} of video,\n{audio.mean():.0%} of audio",
        [overlays.lit(frame, kept) for frame, kept in zip(plain.frames, video, strict=True)],
        overlays.lit(plain.spectrogram, overlays.as_seen(audio)),
    )


def _of_clip(selected: SelectedClips, name: str, clip: int) -> dict[Modality, NDArray[np.float32]] | None:
    """One clip's maps called `name`, of the modalities that have it; None where neither has."""
    maps: dict[Modality, NDArray[np.float32] | None] = {
        "video": getattr(selected.video, name),
        "audio": getattr(selected.audio, name),
    }
    return {modality: values[clip] for modality, values in maps.items() if values is not None} or None


def _heated(
    plain: _Row, name: str, values: Mapping[Modality, NDArray[np.float32]], scale: ScalarMappable
) -> _Row:
    """The clip with values of patches laid over it."""
    frames, spectrogram = plain.frames, plain.spectrogram
    if "video" in values:
        frames = [
            overlays.heated(frame, grid, scale) for frame, grid in zip(frames, values["video"], strict=True)
        ]
    if "audio" in values:
        spectrogram = overlays.heated(spectrogram, overlays.as_seen(values["audio"]), scale)
    notes = ["" if modality in values else "none: each as likely" for modality in ("video", "audio")]
    return _Row(name, frames, spectrogram, scale, *notes)


def _draw_plane(axes: Any, picture: GalleryPicture, task_of_query: NDArray[np.int64], tasks: int) -> None:
    plane = picture.plane
    for task in range(tasks):
        members = task_of_query == task
        colour = _colour(task)
        heard, seen = plane.audio[members], plane.video[members]
        for points, marker in ((heard, _AUDIO), (seen, _VIDEO)):
            axes.plot(*points.T, marker, color=colour, markersize=3, alpha=0.35, markeredgewidth=0, zorder=2)
        ends = np.stack([heard.mean(axis=0), seen.mean(axis=0)])
        axes.plot(*ends.T, color=colour, linewidth=1.2, zorder=3)
        for end, marker in zip(ends, (_AUDIO, _VIDEO), strict=True):
            axes.plot(
                *end,
                marker,
                color=colour,
                markersize=7,
                markeredgecolor="black",
                markeredgewidth=0.8,
                zorder=4,
            )
    axes.set_aspect("equal")
    axes.set_xlabel(f"component 1 ({plane.shares[0]:.0%} of variance)")
    axes.set_ylabel(f"component 2 ({plane.shares[1]:.0%} of variance)")


def _colour(task: int) -> tuple[float, float, float]:
    return COLOURS[task % len(COLOURS)]
