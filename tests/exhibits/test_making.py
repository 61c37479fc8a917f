"""Making exhibits: which clips, where their patches are, and that nothing of the run is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from avbench.clips import ClipBatch, patchify_audio, patchify_video
from avbench.errors import RunError
from avbench.exhibits.making import explained, patch_maps
from avbench.explanation import Choice, Explanation
from avbench.method import Method
from avbench.resume.training_state import training_state


class Brightest(Method):
    """Select the brightest patch of the frames and the loudest of the spectrogram, and score them alone."""

    paper = "none"

    def explain(self, strategy: Any, clips: ClipBatch) -> Explanation:
        choices = []
        for patches in (clips.audio, clips.video):
            best = patches.float().mean(dim=2).argmax(dim=1, keepdim=True)
            choices.append(Choice(best, torch.zeros(patches.shape[:2]).scatter_(1, best, 1.0)))
        self.generator("selection").manual_seed(5)
        return Explanation(*choices, importance_is="brightness")


@pytest.fixture
def spotted(geometry) -> ClipBatch:
    """A clip of two dark frames with a bright patch, frame 1, row 0, column 1, and a late, low sound."""
    frames = torch.zeros(1, 2, 32, 32, 3, dtype=torch.uint8)
    frames[0, 1, :16, 16:] = 200
    spectrogram = torch.full((1, 128, 32), -1.0, dtype=torch.float16)
    spectrogram[0, 80:96, :16] = 2
    return ClipBatch(patchify_video(frames), patchify_audio(spectrogram), torch.tensor([42]), geometry)


def test_patches_are_where_they_were_cut_from(pretraining, spotted):
    selected = explained(pretraining(Brightest()), spotted, np.array([3]))
    assert selected is not None
    assert (selected.clip.tolist(), selected.task.tolist()) == ([42], [3])
    assert selected.importance_is == "brightness"
    # The grid's cell is the picture's patch: one is hot where the other is bright.
    assert np.argwhere(selected.video.importance).tolist() == [[0, 1, 0, 1]]
    assert np.argwhere(selected.video.kept).tolist() == [[0, 1, 0, 1]]
    assert np.array_equal(
        selected.frames[0, :, :, :, 0] == 200,
        selected.video.kept[0].repeat(16, axis=1).repeat(16, axis=2),
    )
    assert np.argwhere(selected.audio.importance).tolist() == [[0, 5, 0]]
    assert np.array_equal(
        selected.spectrogram[0] == 2, selected.audio.kept[0].repeat(16, axis=0).repeat(16, axis=1)
    )
    assert (selected.frames.dtype, selected.spectrogram.dtype) == (np.uint8, np.float16)
    assert selected.video.pruning is None


def test_a_method_without_an_answer_selects_nothing(pretraining, clips):
    class Plain(Method):
        """Do nothing."""

    assert explained(pretraining(Plain()), clips(2), np.arange(2)) is None


def test_generators_are_given_back(pretraining, spotted):
    strategy = pretraining(Brightest())
    first = torch.rand(3, generator=strategy.randomness.torch("method/selection"))
    before = training_state(strategy)["randomness"]["torch"]["method/selection"]
    explained(strategy, spotted, np.array([0]))
    assert torch.equal(training_state(strategy)["randomness"]["torch"]["method/selection"], before)
    assert not torch.equal(first, torch.rand(3, generator=strategy.randomness.torch("method/selection")))


def test_a_task_free_method_is_not_told_of_tasks(pretraining, spotted):
    class Curious(Brightest):
        """Look at the task."""

        def explain(self, strategy: Any, clips: ClipBatch) -> Explanation:
            print(strategy.experience)
            return super().explain(strategy, clips)

    with pytest.raises(RunError, match="tells about tasks"):
        explained(pretraining(Curious()), spotted, np.array([0]))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(torch.tensor([[0, 8]])), r"outside of 0\.\.7"),
        (Choice(torch.tensor([[-1]])), "outside"),
        (Choice(torch.tensor([[3, 3]])), "twice"),
        (Choice(torch.tensor([[1], [2]])), r"kept is torch.int64 \(2, 1\), not int64 \(1, places\)"),
        (Choice(torch.tensor([[1.0]])), "kept is torch.float32"),
        (Choice(torch.tensor([[1]]), importance=torch.ones(1, 7)), r"importance is \(1, 7\), not \(1, 8\)"),
        (Choice(torch.tensor([[1]]), pruning=torch.full((1, 8), torch.nan)), "pruning has values"),
    ],
)
def test_what_does_not_fit_the_clips_is_refused(choice, message):
    with pytest.raises(RunError, match=f"Brightest.explain does not fit the clips: .*{message}"):
        patch_maps(choice, (2, 2, 2), 1, Brightest())


def test_places_and_scores_become_grids():
    choice = Choice(torch.tensor([[5, 0]]), importance=torch.arange(8.0)[None].double())
    maps = patch_maps(choice, (2, 2, 2), 1, Brightest())
    assert np.argwhere(maps.kept).tolist() == [[0, 0, 0, 0], [0, 1, 0, 1]]
    assert maps.importance is not None
    assert maps.importance.dtype == np.float32
    assert maps.importance[0, 1, 0, 1] == 5
    nothing = replace(choice, kept=torch.zeros(1, 0, dtype=torch.int64))
    assert not patch_maps(nothing, (2, 2, 2), 1, Brightest()).kept.any()
