"""Motion of video patches, for the ablation."""

from __future__ import annotations

import pytest
import torch

from avbench.clips import ClipGeometry, patchify_video
from avbench.registry import catalogue

SELECTION = catalogue("strategy").get("avcl").origin.rpartition(".")[0] + ".motion"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_finds_the_place_that_changed(dtype: torch.dtype) -> None:
    import importlib

    motion, most = (getattr(importlib.import_module(SELECTION), name) for name in ("motion", "most"))
    geometry = ClipGeometry(frames=3, frame_size=32)
    frames = torch.full((2, 3, 32, 32, 3), 250, dtype=dtype)
    frames[0, 2, 16:, :16] = 0  # clip 0: bottom left changes in the last frame
    frames[1, 1:, :16, 16:] = 200  # clip 1: top right changes in the middle frame and stays
    moved = motion(patchify_video(frames), geometry)
    expected = torch.zeros(2, 12)
    expected[0, 8 + 2] = 250
    # The first frame is compared with the one after.
    expected[1, 1] = expected[1, 4 + 1] = 50
    assert torch.equal(moved, expected)
    assert most(moved, 2).tolist() == [[10, 0], [1, 5]]


def test_a_single_frame_does_not_move() -> None:
    import importlib

    motion = importlib.import_module(SELECTION).motion
    geometry = ClipGeometry(frames=1, frame_size=32)
    assert torch.equal(motion(torch.rand(2, 4, 768), geometry), torch.zeros(2, 4))
