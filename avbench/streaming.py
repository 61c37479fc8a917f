"""A run's stream: the store its clips are in, how they are loaded, and the gallery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from avbench.clips import ClipGeometry
from avbench.configuration import RunConfig
from avbench.defaults import PUBLISHED_FRAME_SIZE, clips_shown
from avbench.errors import InputError
from avbench.evaluation import Gallery
from avbench.loading import ClipDataset, ClipLoader, clip_loader, geometry_of
from avbench.progress import say
from avbench.randomness import Randomness
from avbench.rendered.cache import open_rendered
from avbench.rendered.store import RENDERED_FORMAT, SOURCE, clips_of_stream
from avbench.scenario import Scenario, TrainExperience
from avbench.store.reading import ClipFormat, ClipStore

FRAMES = 4
_PATCH = 16
_GALLERY_BATCH = 64


@dataclass(frozen=True)
class Stream:
    """What a run trains on and is measured with.

    Attributes:
        experiences: Avalanche experiences, in order; one of all tasks for methods that train jointly.
        gallery: the retrieval set.
        geometry: of its clips.
        make_loader: returns the loader of an experience's training clips, in a new order every pass; of
            several processes each gets its share of every batch, and of the gallery's batches.
    """

    experiences: list[TrainExperience]
    gallery: Gallery
    geometry: ClipGeometry
    make_loader: Callable[[TrainExperience], ClipLoader]


@dataclass(frozen=True)
class ClipsAhead:
    """The clips of a run before they are opened, or even rendered.

    Attributes:
        name: names them in a record, as `ClipStore.clips_name`.
        source: where they come from; "rendered" for those that are rendered.
        format: what each looks like.
        where: what to call them in a message.
    """

    name: str
    source: str
    format: ClipFormat
    where: str


def clips_ahead(config: RunConfig, scenario: Scenario) -> ClipsAhead:
    """Return what `open_store` would open; nothing is rendered.

    Raises:
        InputError, DataError: there is no store at `config.data`, or it is damaged.
    """
    if config.data is None:
        clips = clips_of_stream(config.scenario, scenario)
        return ClipsAhead(clips.clips_name, SOURCE, RENDERED_FORMAT, "the rendered clips")
    store = ClipStore(config.data)
    return ClipsAhead(store.clips_name, store.source, store.format, str(store.path))


def open_store(config: RunConfig, scenario: Scenario, console: Console) -> ClipStore:
    """Open the store that the configuration names; where it names none, render the clips once and say so.

    Raises:
        InputError, DataError: there is no store, or it is damaged.
    """
    if config.data is not None:
        return ClipStore(config.data)
    clips = clips_of_stream(config.scenario, scenario)
    say(
        console,
        f"No prepared clips (--data, AVBENCH_DATA): RENDERED clips stand in for {config.scenario}. "
        "Results are labelled rendered and say nothing about real clips.",
        style="bold yellow",
    )
    return open_rendered(clips, console)


def default_frame_size(stored: ClipFormat) -> int:
    """Return the frames' side in pixels: 224 as published, or the stored frames' if that is smaller."""
    return min(PUBLISHED_FRAME_SIZE, stored.short_side - stored.short_side % _PATCH)


def settle_clips(config: RunConfig, clips: ClipsAhead) -> RunConfig:
    """Return the configuration with the settings filled in that depend on the clips.

    Rendered clips are shown whole (window 1) and not augmented; real ones as published: a window of 0.4 of
    the clip, augmented. Frames are 224 pixels, or as large as the stored ones if those are smaller.

    Raises:
        InputError: the frames asked for are larger than the stored ones.
    """
    shown = clips_shown(rendered=clips.source == SOURCE)
    side = clips.format.short_side
    size = config.frame_size or default_frame_size(clips.format)
    if size > side or size % _PATCH:
        raise InputError(
            f"frame_size: {size} is not a multiple of {_PATCH} up to {side}, the shorter side of the frames "
            f"in {clips.where}"
        )
    return config.model_copy(
        update={
            "augment": shown["augment"] if config.augment is None else config.augment,
            "window": shown["window"] if config.window is None else config.window,
            "frame_size": size,
        }
    )


def make_stream(
    config: RunConfig, scenario: Scenario, store: ClipStore, randomness: Randomness, *, joint: bool
) -> Stream:
    """Return the stream of a settled configuration.

    Args:
        config: from `settle_clips`.
        scenario: picks the clips.
        store: holds them.
        randomness: draws the order of training clips and what is random in loading them.
        joint: make one experience of all tasks.

    Raises:
        DataError: the store lacks clips that the scenario needs.
    """
    assert config.frame_size is not None
    assert config.window is not None
    assert config.augment is not None
    geometry = geometry_of(store.format, frames=config.frames, frame_size=config.frame_size)
    streams: dict[str, Any] = scenario.build(store, joint=joint).streams
    retrieval = list(streams["retrieval"])
    whole: dict[str, Any] = {"geometry": geometry, "window": config.window}

    def make_loader(experience: TrainExperience) -> ClipLoader:
        clips = ClipDataset(
            store, experience.dataset.numbers.tolist(), training=True, augment=bool(config.augment), **whole
        )
        shuffle = randomness.torch("shuffle")
        return clip_loader(clips, config.batch_size, shuffle=shuffle, workers=config.workers, dealt="clips")

    numbers = np.concatenate([each.dataset.numbers for each in retrieval])
    in_gallery = ClipDataset(store, numbers.tolist(), training=False, augment=False, **whole)
    return Stream(
        experiences=list(streams["train"]),
        gallery=Gallery(
            clips=clip_loader(
                in_gallery, _GALLERY_BATCH, shuffle=None, workers=config.workers, dealt="batches"
            ),
            task_of_clip=np.concatenate(
                [np.where(each.is_query, number, -1) for number, each in enumerate(retrieval)]
            ).astype(np.int64),
            tasks=[each.task_name for each in retrieval],
        ),
        geometry=geometry,
        make_loader=make_loader,
    )
