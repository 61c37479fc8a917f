"""The plane of the first two principal components."""

from __future__ import annotations

import numpy as np
import pytest

from avbench.exhibits.projection import principal_plane


@pytest.fixture
def embeddings():
    draws = np.random.Generator(np.random.PCG64(0))
    return draws.normal([3, 0, 0, 0, 0, 0], size=(20, 6)), draws.normal([0, -3, 0, 0, 0, 0], size=(20, 6))


def test_it_is_the_projection_on_the_covariances_first_two_eigenvectors(embeddings):
    plane = principal_plane(*embeddings)
    rows = np.concatenate(embeddings)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    variances, axes = np.linalg.eigh(np.cov(rows.T, bias=True))
    points = np.concatenate([plane.audio, plane.video])
    assert points.dtype == np.float32
    for axis in (0, 1):
        expected = (rows - rows.mean(axis=0)) @ axes[:, -1 - axis]
        assert np.allclose(np.abs(points[:, axis]), np.abs(expected), atol=1e-6)
    assert plane.shares == pytest.approx(variances[[-1, -2]] / variances.sum())


def test_an_axis_points_where_its_largest_coordinate_is_positive(embeddings):
    # All that varies is along (0.6, -0.8): its larger coordinate, and so the video's side, is positive.
    plane = principal_plane([[0.6, -0.8, 0.0]] * 5, [[-0.6, 0.8, 0.0]] * 5)
    assert plane.shares == pytest.approx([1, 0])
    assert np.allclose(plane.audio[:, 0], -1)
    assert np.allclose(plane.video[:, 0], 1)
    # Mirrored embeddings have the same axes, and a mirrored picture.
    first, mirrored = principal_plane(*embeddings), principal_plane(*(-each for each in embeddings))
    assert np.allclose(first.audio, -mirrored.audio, atol=1e-6)


def test_the_lengths_of_embeddings_do_not_matter(embeddings):
    audio, video = embeddings
    one, other = principal_plane(audio, video), principal_plane(5 * audio, 0.1 * video)
    assert np.allclose(one.audio, other.audio, atol=1e-6)


def test_what_cannot_be_drawn_is_refused(embeddings):
    audio, video = embeddings
    with pytest.raises(ValueError, match="nothing varies"):
        principal_plane(np.ones((3, 4)), np.ones((3, 4)))
    with pytest.raises(ValueError, match="cannot draw"):
        principal_plane(audio, video[:-1])
    audio[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        principal_plane(audio, video)
