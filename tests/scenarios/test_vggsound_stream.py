"""The VGGSound stream is the published one."""

from __future__ import annotations

from collections import Counter

import pytest

from avbench.registry import catalogue


@pytest.fixture(scope="module")
def scenario():
    return catalogue("scenario").get("vggsound-stream").cls()


def test_the_tasks_come_in_the_published_order(scenario):
    assert [task.name for task in scenario.tasks()] == [
        "sports",
        "music",
        "vehicle",
        "people",
        "animals",
        "home_nature",
        "others_part1",
        "others_part2",
    ]


def test_20_classes_a_task_and_all_309_of_vggsound(scenario):
    tasks = scenario.tasks()
    assert [len(task.classes) for task in tasks] == [20] * 8
    assert [len(task.gallery_only) for task in tasks] == [6, 43, 10, 29, 54, 2, 0, 5]
    every = Counter(label for task in tasks for label in task.classes + task.gallery_only)
    assert len(every) == 309
    assert set(every.values()) == {1}


def test_labels_are_vggsounds_own(scenario):
    sports, *_ = scenario.tasks()
    assert "motorboat, speedboat acceleration" in sports.classes
    assert "golf driving" in sports.gallery_only
    for task in scenario.tasks():
        for label in task.classes + task.gallery_only:
            assert label == label.strip()
            assert label


def test_caps_are_the_published_ones(scenario):
    assert (scenario.training_clips_per_class, scenario.gallery_clips_per_class) == (400, 5)
