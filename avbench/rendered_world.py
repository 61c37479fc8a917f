"""The world of rendered clips: which class looks and sounds like what. Frozen under `WORLD`.

A rendered stream has the tasks and class names of its scenario; what each class looks and sounds like is
drawn here, once for all runs. Two sets of classes exist:

- *The start's classes.* 144 lawful pairs: hue says pitch, shape says timbre, texture says noisiness. A
  backbone pre-trained on them (`avbench pretrain`) knows every sight and every sound, and none of the
  stream's pairs.
- *A stream's classes.* Every class pairs one of 72 sights with one of 288 sounds at random, never in a
  pair of the start. No two classes of a stream share a sound. Sights are used up before any is used again,
  so that from the fourth task on most sights are those of earlier tasks, with another sound; only the
  background, which is each task's own, tells such classes apart. So a stream is learned by memory and,
  without rehearsal, lost.

Within a class, size, height and place in the frame are heard too: see `avbench.rendering`.

The world was tuned with fine-tuning, experience replay and multitask training only, so that multitask
training is clearly the upper bound and fine-tuning clearly the lower one, and then frozen; AVCL was run on
it only afterwards. Any change that changes a clip gets a new number here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avbench.errors import InputError
from avbench.randomness import Randomness
from avbench.rendering import (
    HUES,
    NOISES,
    SHAPES,
    SIGHTS,
    SOUNDS,
    TEXTURES,
    TIMBRES,
    Background,
    ClassDesign,
    Sight,
    Sound,
)

WORLD = 1

# Each task's background has a hue and a plaid of its own; the start has four others.
_BACKGROUNDS = tuple(
    Background(hue=number / 12, across=1 + number * 5 % 7, down=1 + number * 3 % 5) for number in range(12)
)
_START_BACKGROUNDS = 4


def start_classes() -> dict[str, ClassDesign]:
    """Return the classes of the start, by name: each sight with two of the sounds that the law gives it."""
    designs = {}
    for number, sight in enumerate(SIGHTS):
        for variant in range(2):
            sound = _lawful_sounds(sight)[variant + 2 * ((number + variant) % 2)]
            background = _BACKGROUNDS[-1 - (2 * number + variant) % _START_BACKGROUNDS]
            designs[f"start {number:02d}{'ab'[variant]}"] = ClassDesign(sight, sound, background)
    return designs


def stream_classes(name: str, tasks: Sequence[Sequence[str]]) -> dict[str, ClassDesign]:
    """Return the design of every class of the stream called `name`.

    Args:
        name: the scenario's name; streams of other names are drawn anew.
        tasks: the class names of each task, in the stream's order.

    Raises:
        InputError: the world has too few backgrounds, sights or sounds for such a stream.
    """
    classes = sum(len(task) for task in tasks)
    room = len(_BACKGROUNDS) - _START_BACKGROUNDS
    if len(tasks) > room or classes > len(SOUNDS) or any(len(task) > len(SIGHTS) for task in tasks):
        raise InputError(
            f"{name}: rendered streams have at most {room} tasks, {len(SIGHTS)} classes a task and "
            f"{len(SOUNDS)} classes in all; this one has {len(tasks)} tasks and {classes} classes"
        )
    generator = Randomness(WORLD).numpy(f"classes of {name}")
    sounds = [SOUNDS[index] for index in generator.permutation(len(SOUNDS))]
    unused: list[Sight] = []
    designs: dict[str, ClassDesign] = {}
    for number, task in enumerate(tasks):
        here: set[Sight] = set()
        for label in task:
            sight = _next_sight(unused, here, generator)
            sound = next(sound for sound in sounds if sound not in _lawful_sounds(sight))
            sounds.remove(sound)
            here.add(sight)
            designs[label] = ClassDesign(sight, sound, _BACKGROUNDS[number])
    return designs


def _next_sight(unused: list[Sight], here: set[Sight], generator: np.random.Generator) -> Sight:
    """Take a sight that its task does not have yet, each once before any comes again."""
    if not any(sight not in here for sight in unused):
        unused += [SIGHTS[index] for index in generator.permutation(len(SIGHTS))]
    sight = next(sight for sight in unused if sight not in here)
    unused.remove(sight)
    return sight


def _lawful_sounds(sight: Sight) -> list[Sound]:
    """Return the four sounds that the start's law gives a sight: two pitches, two shares of noise each."""
    pitch = 2 * HUES.index(sight.hue)
    timbre = TIMBRES[SHAPES.index(sight.shape)]
    noise = 2 * TEXTURES.index(sight.texture)
    return [Sound(pitch + step, timbre, NOISES[noise + share]) for share in range(2) for step in range(2)]
