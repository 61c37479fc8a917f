"""Figures made from the exhibits a run left: the modality gap's picture, and what was selected of clips.

Reads exhibits only, needs no torch. A patch grid is drawn as the clip is seen: frames with row 0 on top,
spectrograms with time from left to right and low frequencies at the bottom.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from avbench import overlays
from avbench.errors import InputError
from avbench.exhibits import Exhibits, GalleryPicture, SelectedClips
from avbench.figures import COLOURS, new_figure
from avbench.overlays import Picture

_AUDIO, _VIDEO = "o", "^"
_HEAT: Colormap = mpl.colormaps["inferno"]
_PAST: Colormap = mpl.colormaps["viridis"]
# A spectrogram is drawn so many times as wide as a frame, at most.
_WIDEST = 3.5


def draw_gallery(exhibits: Exhibits) -> Figure:
    """Draw sounds and videos of all queries in the plane of their principal components, by task.

    Before training beside after the last stage, each in its own plane. A task's mean sound and mean video
    are joined by a line: the modality gap, as far as the plane shows it; its full length is in the titles.
    """
    figure, all_axes = new_figure(1, 2, width=7.5, height=4.6)
    pictures = (("before training", exhibits.at_start), ("after the last stage", exhibits.at_end))
    for axes, (when, picture) in zip(all_axes, pictures, strict=True):
        _draw_plane(axes, picture, exhibits.task_of_query, len(exhibits.tasks))
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

    Below the clip as it is: the importance of each patch, the probability with which it is given up to
    the past (where the method has them), and the kept patches with the others faded.

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
    width, margin = 7.5, 1.6
    columns = frames + 2
    figure, all_axes = new_figure(
        len(rows), columns, width=width, height=0.75 + len(rows) * (width - margin) / (frames + wide),
        width_ratios=[*[1.0] * frames, wide, 0.08],
    )  # fmt: skip
    for number, row in enumerate(rows):
        *of_row, bar = all_axes[number * columns : (number + 1) * columns]
        for axes, picture in zip(of_row, [*row.frames, row.spectrogram], strict=True):
            axes.imshow(picture, aspect="auto", interpolation="nearest")
            axes.grid(visible=False)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        of_row[0].set_ylabel(row.name, fontsize=8)
        for axes, note in ((of_row[0], row.video_note), (of_row[-1], row.audio_note)):
            axes.text(
                0.5, 0.5, note, transform=axes.transAxes, ha="center", va="center", fontsize=8, color="white"
            )
        if row.colours is None:
            bar.set_visible(False)
            continue
        figure.colorbar(ScalarMappable(Normalize(0, row.most), row.colours), cax=bar)
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
        f"{exhibits.title}",
        fontsize=10,
    )
    return figure


@dataclass(frozen=True)
class _Row:
    """One row of a figure of a selection.

    Attributes:
        name: what it shows.
        frames, spectrogram: the pictures.
        colours, most: the map of what is laid over them, and the value at its end; None where nothing is.
        video_note, audio_note: written over where that modality has nothing to lay over.
    """

    name: str
    frames: list[Picture]
    spectrogram: Picture
    colours: Colormap | None = None
    most: float = 1.0
    video_note: str = ""
    audio_note: str = ""


def _rows(selected: SelectedClips, clip: int) -> Iterator[_Row]:
    frames = [overlays.picture_of(frame) for frame in selected.frames[clip]]
    spectrogram = overlays.spectrogram_picture(selected.spectrogram[clip])
    yield _Row("the clip", frames, spectrogram)
    video, audio = selected.video, selected.audio
    scores = _of_clip(video.importance, clip), _of_clip(audio.importance, clip)
    if scores != (None, None):
        name = f"importance,\n\N{MULTIPLICATION SIGN} mean"
        yield _heated(name, frames, spectrogram, *map(_over_mean, scores), _HEAT)
    scores = _of_clip(video.pruning, clip), _of_clip(audio.pruning, clip)
    if scores != (None, None):
        yield _heated("given up to\nthe past,\nprobability", frames, spectrogram, *scores, _PAST)
    yield _Row(
        f"kept:\n{video.kept[clip].mean():.0%} of video,\n{audio.kept[clip].mean():.0%} of audio",
        [overlays.lit(frame, kept) for frame, kept in zip(frames, video.kept[clip], strict=True)],
        overlays.lit(spectrogram, overlays.as_seen(audio.kept[clip])),
    )


def _of_clip(values: NDArray[np.float32] | None, clip: int) -> NDArray[np.float32] | None:
    return None if values is None else values[clip]


def _over_mean(values: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    """Values in multiples of their mean; all 0 stay 0."""
    return None if values is None else values / (values.mean() or 1)


def _heated(
    name: str,
    frames: list[Picture],
    spectrogram: Picture,
    video: NDArray[np.float32] | None,
    audio: NDArray[np.float32] | None,
    colours: Colormap,
) -> _Row:
    """A row with values of patches laid over both modalities, on one scale."""
    most = max(float(values.max()) for values in (video, audio) if values is not None) or 1.0
    none = "none: each as likely"
    return _Row(
        name,
        frames
        if video is None
        else [
            overlays.heated(frame, grid, most=most, colours=colours)
            for frame, grid in zip(frames, video, strict=True)
        ],
        spectrogram
        if audio is None
        else overlays.heated(spectrogram, overlays.as_seen(audio), most=most, colours=colours),
        colours,
        most,
        video_note=none if video is None else "",
        audio_note=none if audio is None else "",
    )


def _draw_plane(axes: Any, picture: GalleryPicture, task_of_query: NDArray[np.int64], tasks: int) -> None:
    plane = picture.plane
    for task in range(tasks):
        members = task_of_query == task
        colour = _colour(task)
        heard, seen = plane.audio[members], plane.video[members]
        for points, marker in ((heard, _AUDIO), (seen, _VIDEO)):
            axes.plot(
                *points.T, marker, color=colour, markersize=2.5, alpha=0.35, markeredgewidth=0, zorder=2
            )
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
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel(f"component 1 ({plane.shares[0]:.0%} of variance)")
    axes.set_ylabel(f"component 2 ({plane.shares[1]:.0%} of variance)")


def _colour(task: int) -> tuple[float, float, float]:
    return COLOURS[task % len(COLOURS)]
