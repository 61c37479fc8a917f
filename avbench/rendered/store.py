"""Stores of rendered clips, made once and kept in a cache folder.

Clips go through the same writer, format and checks as real ones. A store's name says its world, its scenario
and its sizes; a store that is whole is used as it is, one that was interrupted is completed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from avbench.defaults import RENDERED_FRAME_SIZE
from avbench.media import jpeg
from avbench.media.spectrogram import log_mel
from avbench.randomness import Randomness
from avbench.rendered.clips import Canvas, ClassDesign, render_clip
from avbench.rendered.world import WORLD, start_code_classes, start_law_classes, stream_classes
from avbench.store.building import Observer, build_store
from avbench.store.layout import ClipEntry, ClipFormat, Split, name_of_rendered
from avbench.store.shard_writer import EncodedClip

if TYPE_CHECKING:  # processes that render need no Avalanche, which is slow to import
    from avbench.scenario import Scenario

SOURCE = "rendered"
RENDERED_FORMAT = ClipFormat(seconds=1.28, frames=8, short_side=RENDERED_FRAME_SIZE, mel_frames=128)


@dataclass(frozen=True)
class RenderedClips:
    """Which clips a rendered store holds.

    Attributes:
        name: of the scenario, or of a lesson that a start is trained on.
        designs: every class by its label.
        training_clips, gallery_clips: number of each class's clips in the train and the test split.
    """

    name: str
    designs: Mapping[str, ClassDesign]
    training_clips: int = 20
    gallery_clips: int = 5

    @property
    def folder(self) -> str:
        """Name of the store in the cache; a digest tells scenarios of one name and other classes apart."""
        digest = hashlib.blake2b(repr(list(self.designs.items())).encode(), digest_size=4).hexdigest()
        return f"{self.name}-world{WORLD}-{self.training_clips}+{self.gallery_clips}-{digest}"

    @property
    def provenance(self) -> dict[str, Any]:
        """What a store of these clips says of how it was made."""
        return {"world": WORLD, "classes": self.name, "jpeg": jpeg.LIBRARY}

    @property
    def clips_name(self) -> str:
        """What names these clips in a record: the `ClipStore.clips_name` of their store."""
        return name_of_rendered(RENDERED_FORMAT, SOURCE, self.provenance, self.entries())

    def entries(self) -> list[ClipEntry]:
        """Return the clips, class by class; a key names the class by its number."""
        counts: tuple[tuple[Split, int], ...] = (("train", self.training_clips), ("test", self.gallery_clips))
        return [
            ClipEntry(f"{self.name}_{number:03d}_{split}_{clip:03d}", label, split)
            for number, label in enumerate(self.designs)
            for split, count in counts
            for clip in range(count)
        ]


def clips_of_stream(name: str, scenario: Scenario) -> RenderedClips:
    """Return the rendered clips of the scenario called `name`: as many a class as it uses, at most 20."""
    return RenderedClips(
        name,
        stream_classes(name, [task.classes for task in scenario.tasks()]),
        training_clips=min(RenderedClips.training_clips, scenario.training_clips_per_class),
        gallery_clips=scenario.gallery_clips_per_class,
    )


def clips_of_start() -> tuple[RenderedClips, RenderedClips]:
    """Return the clips of the two lessons that a start is trained on: classes outside every stream."""
    return (
        RenderedClips("start-law", start_law_classes(), training_clips=36, gallery_clips=2),
        RenderedClips("start-codes", start_code_classes(), training_clips=24, gallery_clips=2),
    )


def render_store(clips: RenderedClips, path: Path, *, workers: int, observe: Observer | None = None) -> Path:
    """Render `clips` into a store at `path`, or complete it; return `path`.

    Every clip has a generator of its own, named by its key: it does not depend on the number of processes.

    Raises:
        InputError, RunError: see `avbench.store.building.build_store`.
    """
    build_store(
        path,
        clips.entries(),
        partial(make_clip, clips.designs),
        format=RENDERED_FORMAT,
        source=SOURCE,
        provenance=clips.provenance,
        workers=workers,
        observe=observe,
    )
    return path


def make_clip(designs: Mapping[str, ClassDesign], entry: ClipEntry) -> EncodedClip:
    """Render and encode the clip of one entry."""
    shape = RENDERED_FORMAT
    canvas = Canvas(shape.seconds, shape.frames, shape.short_side)
    clip = render_clip(designs[entry.label], Randomness(WORLD).numpy(entry.key), canvas)
    waveform = np.round(clip.waveform * 32767).astype(np.int16)
    heard = torch.from_numpy(waveform.astype(np.float32) / 32768)
    return EncodedClip(
        jpegs=[jpeg.encode(frame) for frame in clip.frames],
        waveform=waveform,
        spectrogram=log_mel(heard, shape).numpy().astype(np.float16),
    )
