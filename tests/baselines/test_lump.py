"""LUMP: what is trained on is a mixture of pixels and of sounds, and what is stored is not."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import torch

from avbench.errors import InputError
from avbench.randomness import derive_seed
from avbench.registry import catalogue

PLUGIN = catalogue("strategy").get("lump")
LUMP = PLUGIN.cls
mixture = importlib.import_module(PLUGIN.origin).mixture


def test_mixes_pixels_and_sounds_by_one_weight(clips: Any) -> None:
    first, second = clips(3, 1), clips(3, 2)
    mixed = mixture(first, second, 0.25)
    pixels = 0.25 * first.video.double() + 0.75 * second.video.double()
    # Normalising is affine, so the mixture of normalised frames is the normalised mixture.
    mean = torch.tensor([0.485, 0.456, 0.406]).repeat(256)
    deviation = torch.tensor([0.229, 0.224, 0.225]).repeat(256)
    torch.testing.assert_close(mixed.video, ((pixels / 255 - mean) / deviation).float(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mixed.audio, 0.25 * first.audio.float() + 0.75 * second.audio.float())
    assert mixed.clip.tolist() == first.clip.tolist()


def test_trains_on_mixtures_and_joins_nothing(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(LUMP(capacity=50))
    strategy.step(clips(4, 1))
    assert torch.equal(strategy.mbatch.video, clips(4, 1).video)  # nothing to mix with yet
    strategy.step(clips(3, 2))
    assert len(strategy.mbatch) == 3
    draws = np.random.Generator(np.random.PCG64(derive_seed(0, "numpy", "method/mixture")))
    weight = draws.beta(0.5, 0.5)
    audio = (strategy.mbatch.audio - weight * clips(3, 2).audio.float()) / (1 - weight)
    stored = clips(4, 1).audio.float()
    for clip in audio:
        assert min((clip - other).abs().max().item() for other in stored) < 1e-3


def test_stores_clips_as_they_came(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(LUMP(capacity=50))
    for seed in range(3):
        strategy.step(clips(3, seed))
    held = strategy.method.memory.contents
    assert torch.equal(held["video"], torch.cat([clips(3, seed).video for seed in range(3)]))
    assert held["video"].dtype == torch.uint8


def test_fewer_clips_held_than_came_in(pretraining: Any, clips: Any) -> None:
    strategy = pretraining(LUMP(capacity=50))
    strategy.step(clips(1, 1))
    strategy.step(clips(4, 2))
    assert len(strategy.mbatch) == 4


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_alpha_that_cannot_be(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha"):
        LUMP(alpha=alpha)
