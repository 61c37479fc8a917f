"""Scenarios as Avalanche streams: which clips are picked, and what every scenario must hold to."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from avalanche.benchmarks import CLScenario

from avbench.errors import DataError, InputError
from avbench.registry import catalogue
from avbench.scenario import Scenario, Task
from avbench.store.reading import ClipEntry

SCENARIOS = sorted(catalogue("scenario").plugins)


class SmallStream(Scenario):
    """Two tasks of two classes."""

    paper = "none"

    def tasks(self):
        return (Task("first", ("ant", "bee"), ("moth",)), Task("second", ("cat", "dog")))


def store_of(tasks, training=6, test=3, source="noise", order=None):
    """What a scenario sees of a store with so many clips of every class, shuffled by `order`."""
    entries = [
        ClipEntry(f"{label}-{split}-{number}", label, split)
        for task in tasks
        for label in task.classes + task.gallery_only
        for split, count in (("train", training), ("test", test))
        for number in range(count)
    ]
    if order is not None:
        random.Random(order).shuffle(entries)
    return SimpleNamespace(entries=entries, source=source, path=Path("stores/noise"))


def picked(store, experience):
    return [store.entries[number] for number in experience.dataset.numbers]


def streams(scenario, store, **options):
    built = scenario.build(store, **options)
    assert isinstance(built, CLScenario)
    return list(built.streams["train"]), list(built.streams["retrieval"])


@pytest.fixture(params=SCENARIOS)
def scenario(request):
    """Every scenario that is installed, with few clips."""
    return catalogue("scenario").get(request.param).cls(training_clips_per_class=4, gallery_clips_per_class=2)


def test_tasks_are_named_and_share_no_class(scenario):
    tasks = scenario.tasks()
    names = [task.name for task in tasks]
    assert len(set(names)) == len(names) > 1
    classes = [label for task in tasks for label in task.classes + task.gallery_only]
    assert len(set(classes)) == len(classes)
    assert all(task.classes for task in tasks)
    assert scenario.paper


def test_there_is_an_experience_a_task_in_both_streams(scenario):
    tasks = scenario.tasks()
    train, retrieval = streams(scenario, store_of(tasks))
    for stream in (train, retrieval):
        assert [each.task_name for each in stream] == [task.name for task in tasks]
        assert [each.current_experience for each in stream] == list(range(len(tasks)))


def test_tasks_train_on_their_own_classes_up_to_the_cap(scenario):
    tasks = scenario.tasks()
    store = store_of(tasks)
    train, _ = streams(scenario, store)
    for task, experience in zip(tasks, train, strict=True):
        clips = picked(store, experience)
        assert (
            len(set(experience.dataset.numbers.tolist())) == len(experience.dataset) == 4 * len(task.classes)
        )
        assert {clip.split for clip in clips} == {"train"}
        assert {clip.label for clip in clips} == set(task.classes)


def test_the_gallery_has_test_clips_up_to_the_cap(scenario):
    tasks = scenario.tasks()
    store = store_of(tasks)
    _, retrieval = streams(scenario, store)
    for task, experience in zip(tasks, retrieval, strict=True):
        clips = picked(store, experience)
        assert {clip.split for clip in clips} == {"test"}
        assert experience.labels == tuple(clip.label for clip in clips)
        assert len(clips) == 2 * len(task.classes + task.gallery_only)
        assert experience.is_query.tolist() == [label in task.classes for label in experience.labels]


def test_training_carries_no_labels(scenario):
    train, _ = streams(scenario, store_of(scenario.tasks()))
    classes = {label for task in scenario.tasks() for label in task.classes}
    for experience in train:
        assert not hasattr(experience, "labels")
        assert not hasattr(experience, "classes_in_this_experience")
        assert not classes & {str(value) for value in vars(experience).values()}


def test_a_rendered_store_needs_no_gallery_only_classes(scenario):
    tasks = scenario.tasks()
    trained = [Task(task.name, task.classes) for task in tasks]
    store = store_of(trained, source="rendered")
    _, retrieval = streams(scenario, store)
    assert all(experience.is_query.all() for experience in retrieval)
    assert sum(len(each.dataset) for each in retrieval) == 2 * sum(len(task.classes) for task in tasks)


def test_joint_training_is_one_experience_of_the_same_clips(scenario):
    store = store_of(scenario.tasks())
    apart, gallery = streams(scenario, store)
    (joined,), same_gallery = streams(scenario, store, joint=True)
    assert joined.task_name == "all tasks"
    assert np.array_equal(joined.dataset.numbers, np.concatenate([each.dataset.numbers for each in apart]))
    for first, second in zip(gallery, same_gallery, strict=True):
        assert np.array_equal(first.dataset.numbers, second.dataset.numbers)


def test_picks_do_not_depend_on_the_order_of_the_store():
    tasks = SmallStream().tasks()
    stores = [store_of(tasks), store_of(tasks, order=1), store_of(tasks, order=2)]
    small = SmallStream(training_clips_per_class=3, gallery_clips_per_class=2)
    for stream in (0, 1):
        keys = [
            [[clip.key for clip in picked(store, each)] for each in streams(small, store)[stream]]
            for store in stores
        ]
        assert keys[0] == keys[1] == keys[2]


def test_picks_are_the_same_every_time_and_not_the_first():
    store = store_of(SmallStream().tasks(), training=30)
    few = SmallStream(training_clips_per_class=5)
    first, second = (picked(store, streams(few, store)[0][0]) for _ in range(2))
    assert first == second
    ants = [clip.key for clip in first if clip.label == "ant"]
    assert ants != [f"ant-train-{number}" for number in range(5)]


def test_a_higher_cap_picks_more_of_the_same():
    store = store_of(SmallStream().tasks(), training=30)
    few, more = (
        {clip.key for clip in picked(store, streams(SmallStream(training_clips_per_class=cap), store)[0][0])}
        for cap in (5, 9)
    )
    assert few < more


def test_classes_with_fewer_clips_give_what_they_have():
    store = store_of(SmallStream().tasks(), training=2, test=1)
    train, retrieval = streams(SmallStream(), store)
    assert [len(each.dataset) for each in train] == [4, 4]
    assert [len(each.dataset) for each in retrieval] == [3, 2]


def test_classes_that_are_missing_are_named():
    store = store_of(SmallStream().tasks())
    gone = {("bee", "train"), ("moth", "test"), ("dog", "test"), ("dog", "train")}
    store.entries = [each for each in store.entries if (each.label, each.split) not in gone]
    with pytest.raises(DataError) as caught:
        SmallStream().build(store)
    said = str(caught.value)
    for part in ("stores/noise", "bee (train)", "moth (test)", "dog (train)", "dog (test)", "report.csv"):
        assert part in said
    assert "ant" not in said
    assert "cat" not in said


def test_of_many_missing_classes_a_few_are_named():
    many = [Task("only", tuple(f"class {number}" for number in range(30)))]

    class Wide(Scenario):
        paper = "none"

        def tasks(self):
            return tuple(many)

    store = store_of(many)
    store.entries = [each for each in store.entries if each.label == "class 0"]
    with pytest.raises(DataError, match=r"and 50 more"):
        Wide().build(store)


def test_training_clips_of_gallery_only_classes_are_not_needed():
    store = store_of(SmallStream().tasks())
    store.entries = [each for each in store.entries if (each.label, each.split) != ("moth", "train")]
    SmallStream().build(store)


@pytest.mark.parametrize("option", ["training_clips_per_class", "gallery_clips_per_class"])
def test_no_clips_at_all_is_an_error(option):
    with pytest.raises(InputError, match=f"{option}=0"):
        SmallStream(**{option: 0})
