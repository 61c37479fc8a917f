"""Pictures with what is known of their patches: the right pixels, and they alone."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from avbench.exhibits.overlays import as_seen, heated, lit, picture_of, spectrogram_picture

COLOURS = mpl.colormaps["viridis"]
SCALE = ScalarMappable(Normalize(0, 1), COLOURS)


@pytest.fixture
def picture():
    return np.random.Generator(np.random.PCG64(0)).random((32, 48, 3))


@pytest.mark.parametrize("place", [(0, 0), (0, 2), (1, 1)])
def test_a_hot_patch_is_drawn_where_it_is(place, picture):
    grid = np.zeros((2, 3))
    grid[place] = 1
    cold, hot = (heated(picture, values, SCALE) for values in (np.zeros((2, 3)), grid))
    changed = (cold != hot).any(axis=2)
    expected = np.zeros((32, 48), dtype=bool)
    row, column = place
    expected[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = True
    assert np.array_equal(changed, expected)
    # Yellow where it is hot, purple where it is not: over the picture's grey.
    grey = picture @ [0.299, 0.587, 0.114]
    assert np.allclose(hot[expected], 0.4 * grey[expected][:, None] + 0.6 * np.array(COLOURS(1.0)[:3]))
    assert np.allclose(hot[~expected], 0.4 * grey[~expected][:, None] + 0.6 * np.array(COLOURS(0.0)[:3]))


def test_values_are_drawn_on_the_scale_that_is_given(picture):
    grid = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 8.0]])
    drawn = heated(picture, grid, ScalarMappable(Normalize(0, 4), COLOURS))
    assert np.array_equal(drawn, heated(picture, np.clip(grid, 0, 4) / 4, SCALE))


def test_nothing_is_laid_over_patches_without_a_value(picture):
    drawn = heated(picture, np.array([[0.0, np.nan, 1.0], [np.nan, 0.5, 0.5]]), SCALE)
    grey = picture @ [0.299, 0.587, 0.114]
    assert np.allclose(drawn[:16, 16:32], grey[:16, 16:32, None])
    assert np.allclose(drawn[16:, :16], grey[16:, :16, None])
    assert not np.allclose(drawn[:16, :16], grey[:16, :16, None])


def test_kept_patches_are_as_they_were_and_the_others_faded(picture):
    kept = np.array([[True, False, True], [False, False, True]])
    drawn = lit(picture, kept)
    shown = kept.repeat(16, axis=0).repeat(16, axis=1)
    assert np.array_equal(drawn[shown], picture[shown])
    assert drawn[~shown].min() >= 0.8


def test_a_spectrogram_has_time_along_x_and_low_frequencies_at_the_bottom():
    spectrogram = np.zeros((64, 32), dtype=np.float16)
    spectrogram[40:48, 2] = 1  # late, and low
    picture = spectrogram_picture(spectrogram)
    assert picture.shape == (32, 64, 3)
    loud = (picture == mpl.colormaps["magma"](1.0)[:3]).all(axis=2)
    assert np.array_equal(np.argwhere(loud), [[29, time] for time in range(40, 48)])
    assert np.allclose(picture[~loud], mpl.colormaps["magma"](0.0)[:3])
    grid = np.zeros((4, 2))
    grid[2, 0] = 1  # the patch that holds it
    assert np.array_equal(as_seen(grid), [[0, 0, 0, 0], [0, 0, 1, 0]])


def test_a_spectrogram_of_silence_is_dark():
    assert spectrogram_picture(np.full((32, 16), 1.133, dtype=np.float16)).max() < 0.02


def test_a_frame_keeps_its_colours():
    frame = np.array([[[255, 0, 51]]], dtype=np.uint8)
    assert picture_of(frame).tolist() == [[[1.0, 0.0, 0.2]]]
