"""Figures made from the exhibits a run left: the modality gap's picture, and what was selected of clips.

Reads exhibits only, needs no torch. Positions: a patch grid is drawn as the clip is seen, frames with row 0
on top, spectrograms with time from left to right and low frequencies at the bottom.
"""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avbench.errors import InputError
from avbench.exhibits import Exhibits, GalleryPicture, PatchMaps, SelectedClips
from avbench.figures import COLOURS, MARKERS, legend_below, new_figure


def draw_gallery(exhibits: Exhibits) -> Figure:
    """Draw sounds and videos of all queries in the plane of their principal components, by task.

    At the start beside after the last stage, each in its own plane; the caption has the modality gap.
    """
    figure, axes = new_figure(1, 2, width=7.5, height=4.4)
    return figure


def draw_selection(exhibits: Exhibits, clip: int) -> Figure:
    """Draw what the method made of one clip: its frames in a row, and beside them its spectrogram.

    Below the clip as it is: the importance of each patch, the probability with which it is given up to
    the past (where the method has them), and the kept patches lit with the others dimmed.

    Args:
        exhibits: of a method that selects.
        clip: which of the clips shown, from 0; `exhibits.selected.task[clip]` is its task.

    Raises:
        InputError: the method selects no patches, or shows fewer clips.
    """
    figure, axes = new_figure(1, 2, width=7.5, height=4.4)
    return figure
