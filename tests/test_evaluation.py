"""Evaluation: the gallery is embedded whole, in order, and scored by task."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avbench.backbone import BACKBONES, CAVMAE
from avbench.errors import RunError
from avbench.evaluation import Gallery, embed, measure_retrieval
from avbench.retrieval import modality_gap, retrieval_scores


@pytest.fixture
def model(geometry):
    return CAVMAE(BACKBONES["tiny"], geometry)


def test_embeddings_are_those_of_the_model_in_order(model, clips) -> None:
    batch = clips(10)
    audio, video = embed(model, [batch[:4], batch[4:8], batch[8:]], "cpu")
    with torch.no_grad():
        whole = model.embed(batch)
    assert audio.shape == video.shape == (10, 128)
    np.testing.assert_allclose(audio, whole.audio.numpy(), atol=1e-5)
    np.testing.assert_allclose(video, whole.video.numpy(), atol=1e-5)


def test_model_is_left_as_it_was(model, clips) -> None:
    for mode in (True, False):
        model.train(mode)
        embed(model, [clips(2)], "cpu")
        assert model.training is mode
    assert all(parameter.grad is None for parameter in model.parameters())


def test_scores_are_those_of_the_metrics(model, clips) -> None:
    batch, owners = clips(12), np.array([0, 0, 0, 0, 1, 1, 1, -1, -1, 1, 0, -1])
    gallery = Gallery([batch[:5], batch[5:]], owners, ["one", "two"])
    assert gallery.queries == [5, 4]
    scores = measure_retrieval(model, gallery, "cpu")
    audio, video = embed(model, [batch], "cpu")
    assert scores.recall == retrieval_scores(audio, video, owners, 2)
    assert scores.modality_gap == pytest.approx(
        [modality_gap(audio[owners == task], video[owners == task]) for task in (0, 1)], abs=1e-5
    )


def test_model_that_diverged_is_an_error(model, clips) -> None:
    with torch.no_grad():
        model.norm_a.weight.fill_(torch.nan)
    gallery = Gallery([clips(4)], np.zeros(4, dtype=np.int64), ["one"])
    with pytest.raises(RunError, match=r"retrieval cannot be measured: audio embeddings: 4 of 4 clips"):
        measure_retrieval(model, gallery, "cpu")


def test_loader_that_drops_clips_is_an_error(model, clips) -> None:
    gallery = Gallery([clips(3)], np.zeros(4, dtype=np.int64), ["one"])
    with pytest.raises(RunError, match="3 clips instead of 4"):
        measure_retrieval(model, gallery, "cpu")
