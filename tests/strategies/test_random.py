"""Random and motion-centric selection: half of each clip, chosen as they say; DER++ for the rest."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import pytest
import torch

from avbench.errors import InputError
from avbench.kept_state import kept_tensors
from avbench.registry import catalogue

KNOWN = catalogue("strategy")
METHODS = {name: KNOWN.get(name).cls for name in ("random", "mats")}
MOTION = importlib.import_module(KNOWN.get("avcl").origin.rpartition(".")[0] + ".motion")


@pytest.mark.parametrize("name", METHODS)
def test_trains_on_half_of_every_clip_and_stores_whole_ones(
    name: str, pretraining: Any, clips: Any, geometry: Any
) -> None:
    strategy = pretraining(METHODS[name](capacity=50))
    for seed, count in ((1, 2), (2, 4), (3, 1)):
        strategy.step(clips(count, seed))
        for modality in ("audio", "video"):
            half, positions = geometry.patches(modality) // 2, strategy.mbatch.positions(modality)
            assert positions.shape == (len(strategy.mbatch), half)
            assert all(len(set(places)) == half for places in positions.tolist())
    held = strategy.method.memory.contents
    assert torch.equal(held["video"], torch.cat([clips(2, 1).video, clips(4, 2).video, clips(1, 3).video]))
    assert {entry.kind for entry in kept_tensors(strategy.method)} == {"rehearsal memory"}


def test_every_patch_is_as_likely(pretraining: Any, clips: Any, geometry: Any) -> None:
    strategy = pretraining(METHODS["random"](capacity=1))
    batch, drawn = clips(4), torch.zeros(geometry.video_patches)
    for _ in range(500):
        for places in strategy.method.video_patches(batch):
            drawn[places] += 1
    # Four standard deviations of a share of 1/2 over 2000 draws are 0.045.
    assert (drawn / 2000 - 0.5).abs().max() < 0.045


def test_motion_takes_the_video_patches_that_move(pretraining: Any, clips: Any, geometry: Any) -> None:
    strategy = pretraining(METHODS["mats"](capacity=50))
    still = clips(3)
    frames = still.video.reshape(3, 2, 4, -1).clone()
    frames[:, 1] = frames[:, 0]
    frames[:, 1, 2] = 255 - frames[:, 1, 2]  # only the third place of each frame changes
    moving = replace(still, video=frames.reshape(still.video.shape))
    strategy.step(moving)
    chosen = strategy.mbatch.video_positions.sort(dim=1).values
    wanted = MOTION.most(MOTION.motion(moving.video, geometry), geometry.video_patches // 2)
    assert torch.equal(chosen, wanted.sort(dim=1).values)
    assert all({2, 6} <= set(places) for places in chosen.tolist())


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("wrong", [{"core_ratio": 0.0}, {"penalty": -1.0}])
def test_options_that_cannot_be(name: str, wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        METHODS[name](**wrong)


@pytest.mark.parametrize("name", METHODS)
def test_a_selection_that_leaves_nothing_to_reconstruct_is_refused(name: str, pretraining: Any) -> None:
    with pytest.raises(InputError, match=r"core_ratio=0\.1 selects .* larger core_ratio"):
        pretraining(METHODS[name](core_ratio=0.1))


@pytest.mark.parametrize("name", METHODS)
def test_it_explains_what_a_step_would_select(name: str, pretraining: Any, clips: Any) -> None:
    strategy, batch = pretraining(METHODS[name](capacity=50)), clips(4)
    with strategy.randomness.rewound():
        explanation = strategy.method.explain(strategy, batch)
    strategy.step(batch)
    assert torch.equal(explanation.audio.kept, strategy.mbatch.audio_positions)
    assert torch.equal(explanation.video.kept, strategy.mbatch.video_positions)
    assert explanation.audio.importance is explanation.audio.pruning is explanation.video.pruning is None
    if name == "mats":
        assert torch.equal(explanation.video.importance, MOTION.motion(batch.video, batch.geometry))
    else:
        assert explanation.video.importance is None
