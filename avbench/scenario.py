"""Streams of audio-video tasks, as Avalanche scenarios: which clips, in which order, and the gallery.

A scenario names tasks and their classes; `Scenario.build` picks their clips from a store and makes an
Avalanche `CLScenario` of two streams: `train`, one experience a task, and `retrieval`, one experience a
task, whose clips together are the gallery. Labels serve this picking alone: no experience of the train
stream carries them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml
from avalanche.benchmarks import CLExperience, CLScenario, make_stream
from numpy.typing import NDArray

from avbench.errors import DataError, InputError
from avbench.randomness import Randomness
from avbench.store.reading import ClipStore, Split


@dataclass(frozen=True)
class Task:
    """One part of a stream.

    Attributes:
        name: as tables show it.
        classes: labels whose clips are trained, and queried after every stage.
        gallery_only: labels whose clips stand in the gallery, are never trained and never queried.
    """

    name: str
    classes: tuple[str, ...]
    gallery_only: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClipSelection:
    """Some clips of a store: their numbers, in order."""

    store: ClipStore
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)


class TrainExperience(CLExperience):
    """A task's training clips, without labels.

    Attributes:
        task_name: the task's name ("all tasks" where they are joined); shown, never trained on.
        dataset: the clips.
    """

    def __init__(self, task_name: str, dataset: ClipSelection) -> None:
        # Avalanche's make_stream sets both to their real values.
        super().__init__(current_experience=0, origin_stream=None)
        self.task_name = task_name
        self.dataset = dataset


class RetrievalExperience(CLExperience):
    """A task's part of the gallery.

    Attributes:
        task_name: the task's name.
        dataset: the clips.
        labels: the label of each clip.
        is_query: whether each clip is queried (its class is trained) or only stands in the gallery.
    """

    def __init__(
        self, task_name: str, dataset: ClipSelection, labels: tuple[str, ...], is_query: NDArray[np.bool_]
    ) -> None:
        # Avalanche's make_stream sets both to their real values.
        super().__init__(current_experience=0, origin_stream=None)
        self.task_name = task_name
        self.dataset = dataset
        self.labels = labels
        self.is_query = is_query


class Scenario(ABC):
    """A stream of tasks. A scenario plugin defines one subclass; its first sentence describes it.

    Subclasses state `paper` and return their tasks; the clips are picked here. Keyword-only parameters of
    `__init__` are a scenario's options.

    Attributes:
        paper: where the stream comes from.
        published_training: training settings in which the paper differs on this stream from the VGGSound
            stream's (`avbench.settings`); defaults for the backbones that are trained as in the paper.
    """

    paper: ClassVar[str]
    published_training: ClassVar[dict[str, Any]] = {}

    def __init__(self, *, training_clips_per_class: int = 400, gallery_clips_per_class: int = 5) -> None:
        """Take the numbers of clips.

        Args:
            training_clips_per_class: at most so many of a class are trained on.
            gallery_clips_per_class: at most so many test clips of a class stand in the gallery.
        """
        for name, value in (
            ("training_clips_per_class", training_clips_per_class),
            ("gallery_clips_per_class", gallery_clips_per_class),
        ):
            if value < 1:
                raise InputError(f"{name}={value}: wanted at least 1")
        self.training_clips_per_class = training_clips_per_class
        self.gallery_clips_per_class = gallery_clips_per_class

    @abstractmethod
    def tasks(self) -> tuple[Task, ...]:
        """Return the tasks in the order in which they are learned."""

    def build(self, store: ClipStore, *, joint: bool = False) -> CLScenario:
        """Pick the clips and return the Avalanche scenario with its streams `train` and `retrieval`.

        Which clips are picked depends on the store alone, so that all seeds and methods see the same.

        Args:
            store: prepared or rendered clips. A rendered store has no gallery-only classes.
            joint: make one training experience of all tasks (the upper bound of multitask training).

        Raises:
            DataError: the store lacks clips of a class that the stream needs; all such are named.
        """
        clips = _clips_by_class(store)
        tasks = self.tasks()
        gallery_only = store.source != "rendered"
        _check_classes(tasks, clips, store, gallery_only)
        training = [
            np.concatenate([clips["train", name][: self.training_clips_per_class] for name in task.classes])
            for task in tasks
        ]
        names = [task.name for task in tasks]
        if joint:
            training, names = [np.concatenate(training)], ["all tasks"]
        train = [
            TrainExperience(name, ClipSelection(store, numbers))
            for name, numbers in zip(names, training, strict=True)
        ]
        retrieval = [self._gallery(task, clips, store, gallery_only) for task in tasks]
        return CLScenario([make_stream("train", train), make_stream("retrieval", retrieval)])

    def _gallery(
        self,
        task: Task,
        clips: dict[tuple[Split, str], NDArray[np.int64]],
        store: ClipStore,
        gallery_only: bool,
    ) -> RetrievalExperience:
        picked, labels, is_query = [], [], []
        for name in task.classes + (task.gallery_only if gallery_only else ()):
            numbers = clips["test", name][: self.gallery_clips_per_class]
            picked.append(numbers)
            labels += [name] * len(numbers)
            is_query += [name in task.classes] * len(numbers)
        selection = ClipSelection(store, np.concatenate(picked))
        return RetrievalExperience(task.name, selection, tuple(labels), np.array(is_query))


@cache
def listed_tasks(path: Path) -> tuple[Task, ...]:
    """Return the tasks listed in a YAML file: name, classes `stream` and, if any, classes `gallery_only`."""
    listed = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple(
        Task(name, tuple(classes["stream"]), tuple(classes.get("gallery_only", ())))
        for name, classes in listed.items()
    )


def _clips_by_class(store: ClipStore) -> dict[tuple[Split, str], NDArray[np.int64]]:
    """Return each class's clips in an order drawn from the clips' keys, not from their place in the store."""
    found: dict[tuple[Split, str], list[tuple[str, int]]] = defaultdict(list)
    for number, entry in enumerate(store.entries):
        found[entry.split, entry.label].append((entry.key, number))
    ordered = {}
    for (split, label), clips in found.items():
        order = Randomness(0).numpy(f"clips of {label}, {split}").permutation(len(clips))
        numbers = np.array([number for _, number in sorted(clips)], dtype=np.int64)
        ordered[split, label] = numbers[order]
    return ordered


def _check_classes(
    tasks: tuple[Task, ...],
    clips: dict[tuple[Split, str], NDArray[np.int64]],
    store: ClipStore,
    gallery_only: bool,
) -> None:
    missing = []
    for task in tasks:
        missing += [f"{name} (train)" for name in task.classes if ("train", name) not in clips]
        wanted = task.classes + (task.gallery_only if gallery_only else ())
        missing += [f"{name} (test)" for name in wanted if ("test", name) not in clips]
    if missing:
        shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        raise DataError(
            f"{store.path} has no clips of {len(missing)} classes that the stream needs: {shown}; "
            "see report.csv in the store for what was missing, and prepare it from the whole data set"
        )
