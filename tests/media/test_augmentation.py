from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from avbench.media.augmentation import Crop, crop_and_resize, draw_crop, noise_and_roll, resize


def draws(width, height, size, count=4000):
    generator = np.random.default_rng(0)
    return [draw_crop(width, height, size, generator) for _ in range(count)]


def test_crops_are_those_of_the_published_pipeline():
    """A frame of 256 x 341 for an input of 224: sides 256, 224, 192, at most one step apart."""
    crops = draws(341, 256, 224)
    sizes = Counter((crop.width, crop.height) for crop in crops)
    assert sizes.keys() == {
        (256, 256), (256, 224), (224, 256), (224, 224), (224, 192), (192, 224), (192, 192)
    }  # fmt: skip
    assert min(sizes.values()) > 4000 / 7 * 0.8
    places = {(crop.left, crop.top) for crop in crops if (crop.width, crop.height) == (192, 192)}
    across, down = (341 - 192) // 4, (256 - 192) // 4
    corners_and_middles = {(x, y) for x in (0, 2, 4) for y in (0, 2, 4)}
    quarters = {(x, y) for x in (1, 3) for y in (1, 3)}
    assert places == {(x * across, y * down) for x, y in corners_and_middles | quarters}
    assert all(0 <= crop.left <= 341 - crop.width and 0 <= crop.top <= 256 - crop.height for crop in crops)


def test_a_side_near_the_wanted_size_is_taken_at_that_size():
    assert {crop.width for crop in draws(300, 258, 224)} == {258, 224, 193}  # 225 is near 224


def test_the_same_generator_draws_the_same_crop():
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    assert [draw_crop(90, 60, 48, first) for _ in range(20)] == [
        draw_crop(90, 60, 48, second) for _ in range(20)
    ]


def test_all_frames_of_a_clip_are_cropped_alike():
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)
    cropped = crop_and_resize(frames, Crop(left=20, top=8, width=32, height=32), 32)
    assert np.array_equal(cropped.numpy(), frames[:, 8:40, 20:52])


@pytest.mark.parametrize(("height", "width", "size"), [(60, 90, 32), (48, 48, 32), (20, 30, 48)])
def test_resizing_is_pils(height, width, size):
    """The published pipeline resizes with PIL, to a square."""
    ramp = np.linspace(0, 1, height)[:, None, None] * np.linspace(0, 1, width)[None, :, None]
    waves = 0.5 + 0.5 * np.sin(np.arange(width)[None, :, None] / [[[3.0, 5.0, 9.0]]])
    frame = (255 * ramp * waves).astype(np.uint8)
    by_pil = np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR))
    resized = resize(np.stack([frame, frame]), size)
    assert resized.shape == (2, size, size, 3)
    assert resized.dtype == torch.uint8
    assert np.abs(resized[1].numpy().astype(int) - by_pil).max() <= 1


def test_noise_is_weak_and_positive_and_the_roll_is_in_time():
    spectrogram = np.tile(np.arange(32, dtype=np.float32)[:, None], (1, 8))
    generator = np.random.default_rng(0)
    shifts, strengths = set(), []
    for _ in range(400):
        augmented = noise_and_roll(spectrogram, generator)
        assert augmented.dtype == np.float32
        shift = int(np.flatnonzero(np.floor(augmented[:, 0]) == 0)[0])
        noise = augmented - np.roll(spectrogram, shift, axis=0)
        assert noise.min() >= 0
        assert noise.max() <= 0.1
        shifts.add(shift)
        strengths.append(noise.max())
    assert shifts == set(range(32))
    assert min(strengths) < 0.01
    assert max(strengths) > 0.09
