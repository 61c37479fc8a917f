"""The world of rendered clips: which class looks and sounds like what. Frozen under `WORLD`.

A rendered stream has the tasks and class names of its scenario; what each class looks and sounds like is
drawn here, once for all runs. A class is a pair of a sight (shape, hue, texture) and a sound (timbre, pitch,
noisiness), and every task pairs them by a code of its own: which hue has which pitch and which shape has
which timbre is drawn anew for each task (striped things are always noisier than plain ones). All tasks draw
their classes from the same 72 sights. So the same sight means another sound in a later task, and only the
background, which is each task's own, tells the codes apart: what one task teaches overwrites what another
taught, unless the model keeps them apart by their context. No two classes of a stream share a sound.

Within a class, size, height and place in the frame are heard too: see `avbench.rendered.clips`.

The start's classes are pairs outside every stream, in two lessons. `start-law` has one code for all its
backgrounds, so that sights and sounds are learned quickly; `start-codes` has eight tasks with a code each, as
a stream has, on eight backgrounds that no stream shows.

The world was tuned with fine-tuning, experience replay and multitask training only, so that multitask
training is clearly the upper bound and fine-tuning clearly the lower one, and then frozen; AVCL was run on
it only afterwards. Any change that changes a clip gets a new number here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avbench.errors import InputError
from avbench.randomness import Randomness
from avbench.rendered.clips import (
    HUES,
    NOISES,
    PITCHES,
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

STREAM_TASKS = 8
# A task's background has a hue and a plaid of its own: eight are the streams', the others the start's.
_BACKGROUNDS = tuple(
    Background(hue=number / 16, across=1 + number * 5 % 7, down=1 + number * 3 % 5) for number in range(16)
)
_START_CLASSES_PER_CODE = 40


def stream_classes(name: str, tasks: Sequence[Sequence[str]]) -> dict[str, ClassDesign]:
    """Return the design of every class of the stream called `name`.

    Args:
        name: the scenario's name; streams of other names are drawn anew.
        tasks: the class names of each task, in the stream's order.

    Raises:
        InputError: the world has too few backgrounds, sights or sounds for such a stream.
    """
    if len(tasks) > STREAM_TASKS:
        raise InputError(f"{name}: {len(tasks)} tasks, but rendered streams have at most {STREAM_TASKS}")
    generator = Randomness(WORLD).numpy(f"classes of {name}")
    heard: set[Sound] = set()
    designs: dict[str, ClassDesign] = {}
    for labels, background in zip(tasks, _BACKGROUNDS[:STREAM_TASKS], strict=False):
        drawn = _draw_task(len(labels), background, heard, generator)
        if len(drawn) < len(labels):
            raise InputError(
                f"{name}: a task of {len(labels)} classes is more than the world's {len(SIGHTS)} sights and "
                f"{len(SOUNDS)} sounds allow: no two classes of a stream share a sound"
            )
        designs |= zip(labels, drawn, strict=True)
    return designs


def start_law_classes() -> dict[str, ClassDesign]:
    """Return the start's first lesson: 144 classes, each sight twice, under one code for all backgrounds."""
    designs = {}
    for number, sight in enumerate(SIGHTS):
        for variant in range(2):
            sound = Sound(
                2 * HUES.index(sight.hue) + variant,
                TIMBRES[SHAPES.index(sight.shape)],
                NOISES[2 * TEXTURES.index(sight.texture) + (number + variant) % 2],
            )
            background = _BACKGROUNDS[STREAM_TASKS + (2 * number + variant) % STREAM_TASKS]
            designs[f"law {number:02d}{'ab'[variant]}"] = ClassDesign(sight, sound, background)
    return designs


def start_code_classes() -> dict[str, ClassDesign]:
    """Return the start's second lesson: eight tasks of 40 classes, a code and a background each."""
    generator = Randomness(WORLD).numpy("classes of start-codes")
    designs: dict[str, ClassDesign] = {}
    for number, background in enumerate(_BACKGROUNDS[STREAM_TASKS:]):
        # Sounds are shared among these tasks, not within one: there are more classes than sounds.
        drawn = _draw_task(_START_CLASSES_PER_CODE, background, set(), generator)
        designs |= {f"code {number} {place:02d}": design for place, design in enumerate(drawn)}
    return designs


def _draw_task(
    classes: int, background: Background, heard: set[Sound], generator: np.random.Generator
) -> list[ClassDesign]:
    """Draw a code and `classes` classes under it, fewer if it must be, with sounds that go into `heard`."""
    pitches = generator.permutation(PITCHES)[: len(HUES)]
    timbres = generator.permutation(len(TIMBRES))
    designs: list[ClassDesign] = []
    for index in generator.permutation(len(SIGHTS)):
        sight: Sight = SIGHTS[index]
        sound = Sound(
            int(pitches[HUES.index(sight.hue)]),
            TIMBRES[timbres[SHAPES.index(sight.shape)]],
            NOISES[2 * TEXTURES.index(sight.texture) + int(generator.integers(2))],
        )
        if sound not in heard and len(designs) < classes:
            heard.add(sound)
            designs.append(ClassDesign(sight, sound, background))
    return designs
