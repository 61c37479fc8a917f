"""The world of rendered clips: it poses the two problems, and it is frozen."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import asdict

import numpy as np
import pytest

from avbench.errors import InputError
from avbench.randomness import Randomness
from avbench.registry import catalogue
from avbench.rendered.clips import SIGHTS, Canvas, render_clip
from avbench.rendered.store import RENDERED_FORMAT
from avbench.rendered.world import WORLD, start_code_classes, start_law_classes, stream_classes

NAME = "vggsound-stream"


def tasks_of(stream):
    return [task.classes for task in catalogue("scenario").get(stream).cls().tasks()]


@pytest.fixture(scope="module")
def tasks():
    return tasks_of(NAME)


@pytest.fixture(scope="module")
def designs(tasks):
    return stream_classes(NAME, tasks)


def digest(designs):
    """Of labels and designs, in order; plain text, so the same on every machine."""
    plain = [[label, asdict(design)] for label, design in designs.items()]
    return hashlib.blake2b(json.dumps(plain).encode(), digest_size=8).hexdigest()


def test_every_class_of_the_stream_has_a_design(tasks, designs):
    assert len(designs) == 160
    assert list(designs) == [label for labels in tasks for label in labels]


def test_no_two_classes_of_a_stream_share_a_sound(designs):
    assert len({design.sound for design in designs.values()}) == len(designs)


def test_a_sight_sounds_otherwise_in_later_tasks(tasks, designs):
    sounds = defaultdict(set)
    for number, labels in enumerate(tasks):
        sights = {designs[label].sight for label in labels}
        # Within a task a sight is one class.
        assert len(sights) == len(labels)
        for label in labels:
            sounds[designs[label].sight].add((number, designs[label].sound))
    again = [heard for heard in sounds.values() if len(heard) > 1]
    # 160 classes have but 72 sights.
    assert len(again) > 40
    for heard in again:
        assert len({sound for _, sound in heard}) == len(heard)


def test_the_background_alone_tells_tasks_apart(tasks, designs):
    backgrounds = [{designs[label].background for label in labels} for labels in tasks]
    assert all(len(shown) == 1 for shown in backgrounds)
    assert len(set.union(*backgrounds)) == len(tasks)


def test_a_task_has_a_code(tasks, designs):
    """Within a task, hue tells pitch, shape tells timbre, and striped things are noisier."""
    for labels in tasks:
        shown = [designs[label] for label in labels]
        for seen, heard in (
            ([each.sight.hue for each in shown], [each.sound.pitch for each in shown]),
            ([each.sight.shape for each in shown], [each.sound.timbre for each in shown]),
        ):
            pairs = set(zip(seen, heard, strict=True))
            assert len(pairs) == len(set(seen)) == len(set(heard))
        assert {each.sound.noise < 0.4 for each in shown if each.sight.texture == "plain"} == {True}
        assert {each.sound.noise > 0.4 for each in shown if each.sight.texture == "striped"} == {True}


def test_no_two_tasks_have_the_same_code(tasks, designs):
    codes = [
        frozenset((designs[label].sight.hue, designs[label].sound.pitch) for label in labels)
        for labels in tasks
    ]
    assert len(set(codes)) == len(codes)


def test_streams_of_other_names_are_drawn_anew(tasks, designs):
    other = stream_classes("another-stream", tasks)
    assert other.keys() == designs.keys()
    assert other != designs


def test_the_first_tasks_do_not_depend_on_later_ones(tasks, designs):
    begun = stream_classes(NAME, tasks[:2])
    assert begun == {label: designs[label] for label in begun}


@pytest.mark.parametrize("start_classes", [start_law_classes, start_code_classes])
def test_no_class_of_the_start_is_in_a_stream(designs, start_classes):
    start = start_classes().values()
    assert not set(start) & set(designs.values())
    assert not {each.background for each in start} & {each.background for each in designs.values()}


def test_the_first_lesson_has_one_law():
    classes = list(start_law_classes().values())
    assert len(classes) == 144
    assert {each.sight for each in classes} == set(SIGHTS)
    assert len({(each.sight.shape, each.sound.timbre) for each in classes}) == 6
    assert len({(each.sight.hue, each.sound.pitch) for each in classes}) == 12


def test_the_second_lesson_has_a_code_for_each_background():
    classes = list(start_code_classes().values())
    assert len(classes) == 320
    grouped = defaultdict(list)
    for each in classes:
        grouped[each.background].append(each)
    assert len(grouped) == 8
    for shown in grouped.values():
        assert len({each.sound for each in shown}) == len(shown) == 40
        assert len({(each.sight.hue, each.sound.pitch) for each in shown}) == 6


def test_a_stream_too_large_for_the_world_is_an_error():
    with pytest.raises(InputError, match="at most 8"):
        stream_classes("long", [[f"class {number}"] for number in range(9)])
    with pytest.raises(InputError, match=r"73 classes.*72 sights"):
        stream_classes("wide", [[f"class {number}" for number in range(73)]])


@pytest.mark.parametrize(
    ("classes", "wanted"),
    [
        (lambda: stream_classes(NAME, tasks_of(NAME)), "2d62b27cb6253cce"),
        (lambda: stream_classes("audioset-stream", tasks_of("audioset-stream")), "ce87a22e4f3024ec"),
        (start_law_classes, "0cd93760bfad7654"),
        (start_code_classes, "2d64a44d166e3917"),
    ],
    ids=["vggsound-stream", "audioset-stream", "start-law", "start-codes"],
)
def test_the_world_is_frozen(classes, wanted):
    """A change here changes every result on rendered clips: it needs a new WORLD, and a new start."""
    assert WORLD == 1
    assert digest(classes()) == wanted


def test_the_clips_of_the_world_are_frozen(designs):
    """Statistics, not bits: sines and colours may differ in their last digits between machines."""
    shape = RENDERED_FORMAT
    assert (shape.seconds, shape.frames, shape.short_side, shape.mel_frames) == (1.28, 8, 64, 128)
    canvas = Canvas(shape.seconds, shape.frames, shape.short_side)
    made = render_clip(designs["playing darts"], Randomness(WORLD).numpy(f"{NAME}_005_train_000"), canvas)
    colours = made.frames.reshape(8, -1, 3).astype(float).mean(axis=1)
    assert colours[[0, 4, 7]].flatten().tolist() == pytest.approx(
        [87.0, 41.9, 41.4, 96.5, 46.8, 46.6, 86.4, 42.0, 41.6], abs=0.2
    )
    quarters = np.sqrt((made.waveform.reshape(4, -1).astype(float) ** 2).mean(axis=1))
    assert quarters.tolist() == pytest.approx([0.08898, 0.12905, 0.13884, 0.0228], rel=1e-3)
    strength = np.abs(np.fft.rfft(made.waveform))
    assert np.argsort(strength)[-3:].tolist() == [164, 179, 178]
