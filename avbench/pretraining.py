"""Pre-training a start: the backbone on clips outside the stream, then the matching module on the backbone.

The paper's streams start from a backbone pre-trained on a corpus outside the stream, and from a matching
module trained on that backbone while it stands still. Here the corpus comes in lessons, each a store with
a number of steps and a mask ratio; one optimiser goes through all of them, its learning rate rising at
first and falling linearly at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from avbench.backbone.model import CAVMAE
from avbench.clips import ClipBatch
from avbench.errors import InputError, RunError
from avbench.loading import ClipDataset, clip_loader
from avbench.matching import AudioVideoMatching, matching_loss
from avbench.objectives import training_loss
from avbench.randomness import Randomness
from avbench.store.reading import ClipStore

# Called after every step: what is trained, the step, how many there are, the loss.
Observer = Callable[[str, int, int, float], None]


@dataclass(frozen=True)
class Lesson:
    """A part of the corpus: the train split of a store, for so many steps, with so much masked."""

    store: ClipStore
    steps: int
    mask_ratio: float = 0.8


@dataclass(frozen=True)
class PretrainingSettings:
    """How a start is trained.

    Attributes:
        batch_size: clips a step.
        learning_rate: highest rate of the backbone's Adam; reached after `warm_up` steps, and left for a
            linear fall to 0 over the last `decay` share of all steps.
        contrastive_weight: beside the two reconstruction losses.
        matching_steps, matching_learning_rate: of the matching module, on the last lesson.
        window, augment: see `avbench.loading.ClipDataset`.
        workers: processes that load clips.
    """

    batch_size: int = 64
    learning_rate: float = 1.5e-3
    warm_up: int = 50
    decay: float = 0.4
    contrastive_weight: float = 1.0
    matching_steps: int = 600
    matching_learning_rate: float = 1e-3
    window: float = 1.0
    augment: bool = False
    workers: int = 0


@dataclass(frozen=True)
class _How:
    settings: PretrainingSettings
    randomness: Randomness
    device: torch.device | str
    tell: Observer


def pretrain(
    backbone: CAVMAE,
    matching: AudioVideoMatching,
    lessons: Sequence[Lesson],
    settings: PretrainingSettings,
    randomness: Randomness,
    *,
    device: torch.device | str = "cpu",
    observe: Observer | None = None,
) -> None:
    """Train both modules in place. The backbone's mask ratio is left as it was.

    Raises:
        InputError: there is no lesson, or no step.
        RunError: a loss is not finite.
    """
    if not lessons or sum(lesson.steps for lesson in lessons) < 1:
        raise InputError("pre-training needs at least one lesson of at least one step")
    backbone.to(device).train()
    matching.to(device).train()
    how = _How(settings, randomness, device, observe or (lambda what, step, steps, loss: None))
    _train_backbone(backbone, lessons, how)
    _train_matching(backbone, matching, lessons[-1], how)


def _train_backbone(
    backbone: CAVMAE,
    lessons: Sequence[Lesson],
    how: _How,
) -> None:
    settings = how.settings
    optimiser = torch.optim.Adam(
        backbone.parameters(), lr=settings.learning_rate, betas=(0.95, 0.999), weight_decay=5e-7
    )
    total = sum(lesson.steps for lesson in lessons)
    rising, falling = max(1, settings.warm_up), max(1, round(settings.decay * total))
    ordinary_ratio, step = backbone.mask_ratio, 0
    try:
        for lesson in lessons:
            backbone.mask_ratio = lesson.mask_ratio
            for batch in _batches(lesson, backbone, how):
                rate = settings.learning_rate * min(1.0, (step + 1) / rising, (total - step) / falling)
                for group in optimiser.param_groups:
                    group["lr"] = rate
                clips = batch.to(how.device)
                output = backbone(clips, backbone.draw_noise(clips, how.randomness.torch("masking")))
                loss = training_loss(output, settings.contrastive_weight)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                step += 1
                how.tell("backbone", step, total, _finite(loss, step))
    finally:
        backbone.mask_ratio = ordinary_ratio


def _train_matching(
    backbone: CAVMAE,
    matching: AudioVideoMatching,
    lesson: Lesson,
    how: _How,
) -> None:
    steps, rate = how.settings.matching_steps, how.settings.matching_learning_rate
    optimiser = torch.optim.Adam(matching.parameters(), lr=rate, betas=(0.95, 0.999))
    corpus = Lesson(lesson.store, steps, lesson.mask_ratio)
    for step, batch in enumerate(_batches(corpus, backbone, how), start=1):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, 2 * (steps - step + 1) / steps)
        with torch.no_grad():
            tokens = backbone.unimodal(batch.to(how.device))
        loss = matching_loss(matching, backbone, tokens, how.randomness.torch("exchange"))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        how.tell("matching module", step, steps, _finite(loss, step))


def _batches(lesson: Lesson, backbone: CAVMAE, how: _How) -> Iterator[ClipBatch]:
    """Yield `lesson.steps` batches of the train split, in a new order each pass."""
    settings = how.settings
    clips = [number for number, entry in enumerate(lesson.store.entries) if entry.split == "train"]
    if len(clips) < settings.batch_size:
        raise InputError(
            f"{lesson.store.path} has {len(clips)} clips in its train split, fewer than a batch of "
            f"{settings.batch_size}"
        )
    dataset = ClipDataset(
        lesson.store,
        clips,
        backbone.geometry,
        training=True,
        augment=settings.augment,
        window=settings.window,
    )
    loader = clip_loader(
        dataset,
        settings.batch_size,
        shuffle=how.randomness.torch("shuffle"),
        workers=settings.workers,
        drop_last=True,
    )
    left = lesson.steps
    while left:
        for batch in loader:
            if not left:
                return
            left -= 1
            yield batch


def _finite(loss: torch.Tensor, step: int) -> float:
    value = loss.item()
    if not math.isfinite(value):
        raise RunError(f"the loss is {value} at step {step} of pre-training: try a smaller learning rate")
    return value
