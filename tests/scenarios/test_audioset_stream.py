"""The AudioSet stream is the published one."""

from __future__ import annotations

import pytest

from avbench.configuration import Layer
from avbench.registry import catalogue
from avbench.rendered.store import clips_of_stream
from avbench.resolving import resolve

NAME = "audioset-stream"


@pytest.fixture(scope="module")
def scenario():
    return catalogue("scenario").get(NAME).cls()


def test_the_tasks_come_in_the_published_order_with_their_classes(scenario):
    assert {task.name: len(task.classes) for task in scenario.tasks()} == {
        "human": 35,
        "vehicle": 14,
        "nature": 9,
        "animal": 27,
        "others": 34,
        "home": 18,
        "music": 24,
    }
    assert [task.name for task in scenario.tasks()][:3] == ["human", "vehicle", "nature"]


def test_no_class_stands_twice_and_all_are_trained(scenario):
    labels = [label for task in scenario.tasks() for label in task.classes]
    assert len(labels) == len(set(labels)) == 161
    assert not any(task.gallery_only for task in scenario.tasks())
    assert {"Roaring cats (lions, tigers)", "Change ringing (campanology)"} <= set(labels)


def test_published_training_is_the_default_of_backbones_trained_as_published():
    def settings(**given):
        config = resolve([Layer("test", {"strategy": "er", "scenario": NAME, "start": "random", **given})])
        return config.epochs, config.batch_size

    assert settings(backbone="base") == (15, 36)
    assert settings(backbone="base", epochs=2) == (2, 36)
    assert settings(backbone="base", scenario="vggsound-stream") == (10, 48)
    assert settings(backbone="tiny") == settings(backbone="tiny", scenario="vggsound-stream")


def test_its_rendered_clips_have_a_design_for_every_class(scenario):
    clips = clips_of_stream(NAME, scenario)
    assert len(clips.designs) == 161
    assert len(clips.entries()) == 161 * 25
    assert len({design.sound for design in clips.designs.values()}) == 161
