"""Pre-training a start: it learns, repeats to the bit, and leaves the backbone alone where it should."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avbench.backbone import BACKBONES, CAVMAE
from avbench.errors import InputError, RunError
from avbench.loading import geometry_of
from avbench.matching import AudioVideoMatching
from avbench.pretraining import Lesson, PretrainingSettings, pretrain
from avbench.randomness import Randomness
from avbench.store.reading import ClipEntry, ClipStore
from avbench.store.writer import StoreWriter

TINY = BACKBONES["tiny"]
SETTINGS = PretrainingSettings(batch_size=4, learning_rate=1e-3, warm_up=2, matching_steps=2)


@pytest.fixture
def store(make_store, tmp_path):
    return make_store(tmp_path / "store", 8)


@pytest.fixture
def train(store):
    """`train(*lessons, ...)` trains modules and returns them with what an observer was told."""

    def run(*lessons, settings=SETTINGS, seed=0, mask_ratio=0.8, observe=None):
        geometry = geometry_of(store.format, frames=2, frame_size=32)
        backbone = CAVMAE(TINY, geometry, mask_ratio=mask_ratio)
        matching = AudioVideoMatching(TINY.width, TINY.heads)
        told = []

        def tell(*report):
            told.append(report)
            if observe is not None:
                observe(backbone, *report)

        pretrain(backbone, matching, lessons, settings, Randomness(seed), observe=tell)
        return backbone, matching, told

    return run


def parameters(module):
    return torch.cat([value.detach().flatten() for value in module.parameters()])


def test_a_lesson_lowers_the_loss(train, store):
    _, _, told = train(Lesson(store, 40), settings=replace(SETTINGS, batch_size=8))
    losses = [loss for what, _, _, loss in told if what == "backbone"]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_every_step_is_told(train, store):
    _, _, told = train(Lesson(store, 2), Lesson(store, 3, 0.5))
    assert [report[:3] for report in told] == [
        *(("backbone", step, 5) for step in range(1, 6)),
        ("matching module", 1, 2),
        ("matching module", 2, 2),
    ]


def test_the_same_seed_trains_the_same_to_the_bit(train, store):
    first, second, other = (train(Lesson(store, 3), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(parameters(first[0]), parameters(second[0]))
    assert torch.equal(parameters(first[1]), parameters(second[1]))
    assert first[2] == second[2]
    assert not torch.equal(parameters(first[0]), parameters(other[0]))


def test_the_backbone_stands_still_while_the_matching_module_is_trained(train, store):
    trained = []

    def keep(backbone, what, step, steps, loss):
        if (what, step) == ("backbone", steps):
            trained.append(parameters(backbone).clone())

    backbone, matching, _ = train(Lesson(store, 2), observe=keep)
    assert torch.equal(parameters(backbone), trained[0])
    assert not torch.equal(parameters(matching), parameters(AudioVideoMatching(TINY.width, TINY.heads)))


def test_each_lesson_has_its_mask_ratio_and_the_old_one_comes_back(train, store):
    seen = []

    def look(backbone, what, step, steps, loss):
        seen.append((what, backbone.mask_ratio))

    backbone, _, _ = train(Lesson(store, 2, 0.5), Lesson(store, 1, 0.7), mask_ratio=0.9, observe=look)
    assert [ratio for what, ratio in seen if what == "backbone"] == [0.5, 0.5, 0.7]
    assert backbone.mask_ratio == 0.9


def test_an_interrupted_lesson_restores_the_mask_ratio(train, store):
    kept = []

    def stop(backbone, *report):
        kept.append(backbone)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Lesson(store, 2, 0.5), observe=stop)
    assert kept[0].mask_ratio == 0.8


def test_only_the_train_split_is_learned_from(store_format, encoded_clip, train, tmp_path):
    with StoreWriter(tmp_path / "split", store_format, "noise", {}) as writer:
        for number in range(8):
            clip = encoded_clip(f"clip{number}")
            entry = ClipEntry(f"clip{number}", "class", "train" if number < 4 else "test")
            writer.add(entry, clip.jpegs, clip.waveform, clip.spectrogram)
        writer.finish()
    store, read = ClipStore(tmp_path / "split"), []
    read_members = store.read_members
    store.read_members = lambda clip, which: read.append(clip) or read_members(clip, which)
    train(Lesson(store, 3))
    assert set(read) == {0, 1, 2, 3}


def test_a_lesson_goes_through_all_clips_again_and_again(train, store):
    read = []
    read_members = store.read_members
    store.read_members = lambda clip, which: read.append(clip) or read_members(clip, which)
    train(Lesson(store, 4))
    for start in (0, 8):
        assert sorted(read[start : start + 8]) == list(range(8))


def test_no_warm_up_is_allowed(train, store):
    _, _, told = train(Lesson(store, 1), settings=replace(SETTINGS, warm_up=0))
    assert told[0][:3] == ("backbone", 1, 1)


def test_lessons_with_too_few_clips_are_an_error(train, store):
    with pytest.raises(InputError, match="8 clips in its train split, fewer than a batch of 9"):
        train(Lesson(store, 2), settings=replace(SETTINGS, batch_size=9))


def test_nothing_to_learn_is_an_error(train, store):
    with pytest.raises(InputError, match="at least one lesson"):
        train()
    with pytest.raises(InputError, match="at least one step"):
        train(Lesson(store, 0))


def test_a_loss_that_is_not_finite_ends_it(train, store):
    with pytest.raises(RunError, match=r"the loss is (nan|inf) at step \d+ of pre-training"):
        train(Lesson(store, 30), settings=replace(SETTINGS, learning_rate=1e30))
