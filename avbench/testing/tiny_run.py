"""The smallest training that is one: what the checks train a method with, in milliseconds a step."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch

from avbench import processes
from avbench.accounting import model_tensors, optimiser_tensors
from avbench.backbone.model import CAVMAE
from avbench.backbone.sizes import BackboneSize
from avbench.clips import ClipBatch, ClipGeometry
from avbench.matching import AudioVideoMatching
from avbench.method import Method
from avbench.randomness import Randomness
from avbench.settings import TrainingSettings
from avbench.step_memory import modules_of
from avbench.testing.finding import Violation
from avbench.training import ContinualPretraining

SIZE = BackboneSize(32, 2, 1, 1, decoder_width=16, decoder_heads=2, decoder_blocks=1)
GEOMETRY = ClipGeometry(frames=2, frame_size=32, mel_frames=128, mel_bins=32)
BATCH = 4
CAPACITY = 5
"""Clips in the rehearsal memory: more than a batch, and fewer than two."""


def clips(count: int, seed: int) -> ClipBatch:
    """Return clips of noise, numbered from 1000 x seed."""
    generator = torch.Generator().manual_seed(seed)
    video = (count, GEOMETRY.video_patches, GEOMETRY.video_patch_values)
    audio = (count, GEOMETRY.audio_patches, GEOMETRY.audio_patch_values)
    return ClipBatch(
        video=torch.randint(0, 256, video, dtype=torch.uint8, generator=generator),
        audio=torch.randn(audio, generator=generator).half(),
        clip=torch.arange(count) + 1000 * seed,
        geometry=GEOMETRY,
    )


def batches(count: int, first_seed: int = 0, size: int = BATCH) -> list[ClipBatch]:
    """Return batches of noise, each from a seed of its own."""
    return [clips(size, first_seed + number) for number in range(count)]


def two_tasks() -> tuple[list[ClipBatch], list[ClipBatch]]:
    """Return two tasks of two batches: more clips than the rehearsal memory holds."""
    return batches(2), batches(2, 10)


def small_options(method: type[Method], capacity: int | str = CAPACITY) -> dict[str, Any]:
    """Return the options a method is checked with: its defaults, but for the size of its memory."""
    return {"capacity": capacity} if "capacity" in {option.name for option in method.options()} else {}


class TinyRun:
    """A run of a method on clips of noise, taken task by task and step by step.

    Args:
        method: its class, made with `options` (by default its own, with a small memory).
        seed: of the run.
        device: where it trains.
        settings: of the training, where they differ.
    """

    def __init__(
        self,
        method: type[Method],
        options: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        device: str = "cpu",
        **settings: Any,
    ) -> None:
        self.method = method(**(small_options(method) if options is None else options))
        given: dict[str, Any] = {"epochs": 1, "batch_size": BATCH, "learning_rate": 1e-3} | settings
        self.strategy = ContinualPretraining(
            backbone=CAVMAE(SIZE, GEOMETRY),
            matching=AudioVideoMatching(SIZE.width, SIZE.heads),
            method=self.method,
            settings=TrainingSettings(**given),
            randomness=Randomness(seed, process=processes.rank()),
            make_loader=lambda experience: experience.dataset,
            device=device,
        )
        self._tasks = 0

    def train(self, *tasks: Sequence[ClipBatch]) -> list[float]:
        """Train on tasks in turn and return the loss of each step; a joint method gets all as one."""
        together = [[batch for task in tasks for batch in task]]
        losses = []
        for task in together if self.method.joint else tasks:
            with self.task(task):
                losses += [self.step(batch) for batch in task]
        return losses

    @contextmanager
    def task(self, task: Sequence[ClipBatch], number: int | None = None) -> Iterator[None]:
        """Tell the method that a task begins, and that it ends; the steps between are the caller's."""
        self.begin(task, number)
        yield
        self.end()

    def begin(self, task: Sequence[ClipBatch], number: int | None = None) -> None:
        """Begin a task as Avalanche does, its first epoch included."""
        strategy = self.strategy
        self.go_on(task, number)
        strategy._before_training()
        strategy._before_training_exp()
        strategy._before_training_epoch()

    def go_on(self, task: Sequence[ClipBatch], number: int | None = None) -> None:
        """Stand in the middle of a task, without telling the method: after loading what was saved there."""
        strategy = self.strategy
        number = self._tasks if number is None else number
        strategy.is_training = True
        strategy.model.train()
        strategy.experience = SimpleNamespace(
            task_name=f"task {number + 1}", current_experience=number, dataset=list(task)
        )
        strategy.train_dataset_adaptation()
        strategy.make_train_dataloader()
        self._tasks = number + 1

    def end(self) -> None:
        """End a task as Avalanche does."""
        self.strategy._after_training_epoch()
        self.strategy._after_training_exp()
        self.strategy._after_training()
        self.strategy._train_cleanup()

    def step(self, batch: ClipBatch) -> float:
        """Take one step, all hooks included, and return its loss. Raises Violation if it is not finite."""
        strategy = self.strategy
        loss = strategy.step(batch.to(strategy.device)).item()
        strategy._after_training_iteration()
        strategy.mbatch, strategy.mb_output, strategy.mb_noise = None, None, None
        if not math.isfinite(loss):
            raise Violation(f"its loss became {loss} on clips of noise")
        return loss

    def tensors(self) -> list[torch.Tensor]:
        """Return the tensors of the run itself: parameters, buffers, gradients, optimiser state."""
        trained = model_tensors(modules_of(self.strategy))
        gradients = [value.grad for value in trained if value.grad is not None]
        return [*trained, *gradients, *optimiser_tensors(self.strategy.optimizer)]


def saved_and_loaded(state: dict[str, Any]) -> dict[str, Any]:
    """Return `state` as it comes out of a file that is read without running code."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def first_difference(one: Any, other: Any, path: str = "") -> str | None:
    """Return where two states of tensors and plain data differ in a bit; None where they do not."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return None if same_bits(one, other) else path
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return path
        pairs = [(f"{path}.{key}" if path else str(key), one[key], other[key]) for key in one]
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return path
        pairs = [(f"{path}[{number}]", *pair) for number, pair in enumerate(zip(one, other, strict=True))]
    else:
        # By their text as well: NaN is no difference from NaN.
        same = type(one) is type(other) and (one == other or repr(one) == repr(other))
        return None if same else path
    return next((found for name, a, b in pairs if (found := first_difference(a, b, name)) is not None), None)


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are alike in shape, type and every bit."""
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    bits = [each.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for each in (one, other)]
    return torch.equal(*bits)
