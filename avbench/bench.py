"""Measuring on this machine: how fast each method trains, what a step needs, and what selection costs.

Speeds depend on the machine and on what else it does; what carries over are ratios. So every method is timed
in turns with a bare PyTorch loop over the same model and the same batch, without Avalanche or any method, in
the same process; medians over the turns are compared. Loading of clips is measured apart
(`avbench.bench_store`), and what methods do at a task's end is no part of a step.
"""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch

from avbench.backbone.model import CAVMAE
from avbench.backbone.sizes import BACKBONES
from avbench.clips import ClipBatch, ClipGeometry
from avbench.method import Method
from avbench.objectives import training_loss
from avbench.settings import SETTINGS, TrainingSettings
from avbench.step_memory import made_up_clips, step_memory, untrained_strategy

GEOMETRIES: dict[str, ClipGeometry] = {
    "tiny": ClipGeometry(frames=4, frame_size=64, mel_frames=128),
    "small": ClipGeometry(),
    "base": ClipGeometry(),
}
"""The clips each backbone is measured on: rendered ones for `tiny`, the paper's for the others."""


@dataclass(frozen=True)
class Effort:
    """How much is measured: turns of so many steps each, after as many to warm up."""

    turns: int
    steps: int


FULL = Effort(turns=5, steps=4)
QUICK = Effort(turns=1, steps=1)


@dataclass(frozen=True)
class MethodSpeed:
    """One method on one backbone.

    Attributes:
        backbone, strategy, batch_size: what was measured; the batch is of clips of the stream.
        clips_per_second: clips of the stream trained per second; rehearsed ones do not count.
        bare_clips_per_second: of the bare loop, timed in turns with it.
        ratio: of the two.
        peak_step: peak bytes of a training step.
        measured_by: what counted them.
    """

    backbone: str
    strategy: str
    batch_size: int
    clips_per_second: float
    bare_clips_per_second: float
    ratio: float
    peak_step: int
    measured_by: str


@dataclass(frozen=True)
class SelectionCost:
    """Drawing the patches of a joined batch by given scores, as AVCL does each step.

    Attributes:
        backbone: gives the geometry; `clips` of it are selected from.
        milliseconds: for the batch.
        share: of a training step of AVCL, 0 to 1.
    """

    backbone: str
    clips: int
    milliseconds: float
    share: float


def method_speed(
    strategy: str,
    make_method: Callable[[], Method],
    *,
    backbone: str,
    batch_size: int,
    effort: Effort,
    device: torch.device | str = "cpu",
) -> MethodSpeed:
    """Time a method's training in turns with the bare loop, and measure the peak of its step.

    Raises:
        RunError: the method cannot be trained, as a run would raise it.
    """
    geometry = GEOMETRIES[backbone]
    settings = replace(SETTINGS[backbone], batch_size=batch_size, epochs=1)
    needed = step_memory(
        make_method, size=BACKBONES[backbone], geometry=geometry, settings=settings, device=device, fake=False
    )
    batch = made_up_clips(geometry, batch_size, device)
    steps = {
        "method": _training(make_method(), backbone, settings, batch, device),
        "bare": _timed(_bare_loop(backbone, settings, batch, device)),
    }
    seconds = _in_turns(steps, effort)
    speed = {name: batch_size / value for name, value in seconds.items()}
    return MethodSpeed(
        backbone=backbone,
        strategy=strategy,
        batch_size=batch_size,
        clips_per_second=speed["method"],
        bare_clips_per_second=speed["bare"],
        ratio=speed["method"] / speed["bare"],
        peak_step=needed.peak,
        measured_by=needed.measured_by,
    )


def selection_cost(
    method: type[Method],
    *,
    backbone: str,
    batch_size: int,
    step_seconds: float,
    effort: Effort,
    device: torch.device | str = "cpu",
) -> SelectionCost:
    """Time the selection of patches of `2 * batch_size` clips, a batch and as many rehearsed ones.

    Args:
        method: AVCL, whose folder has the module `selection`.
        step_seconds: of a training step of it, to give the share.
    """
    selection = importlib.import_module(".selection", method.__module__.rpartition(".")[0])
    geometry = GEOMETRIES[backbone]
    clips = made_up_clips(geometry, 2 * batch_size, device)
    generator = torch.Generator().manual_seed(0)
    scores = {
        modality: torch.rand(len(clips), geometry.patches(modality), generator=generator).to(device)
        for modality in ("audio", "video")
    }
    pruned = {modality: values < 0.1 for modality, values in scores.items()}

    def select(steps: int) -> None:
        for _ in range(steps):
            chosen = clips.select(
                audio=selection.select_audio(
                    scores["audio"], pruned["audio"], generator, bands=geometry.audio_grid[1]
                ),
                video=selection.select_video(scores["video"], pruned["video"], generator),
            )
            # Waits for the device, as the step does that reads its loss.
            chosen.video[0, 0, 0].item()

    seconds = _in_turns({"selection": _timed(select)}, effort)["selection"]
    return SelectionCost(backbone, len(clips), 1000 * seconds, seconds / step_seconds)


def _training(
    method: Method, backbone: str, settings: TrainingSettings, batch: ClipBatch, device: torch.device | str
) -> Callable[[int], float]:
    """The project's own training loop, Avalanche's hooks and all, over the same batch again and again.

    Each call is a task, so that methods which set something aside at a task's end have it from the second
    on. Its seconds are those of its steps, as a run's record has them.
    """
    strategy = untrained_strategy(
        method, BACKBONES[backbone], batch.geometry, settings, device, make_loader=_batches
    )

    def train(steps: int) -> float:
        before = strategy.time.loading + strategy.time.computing
        strategy.train(SimpleNamespace(dataset=[batch] * steps))
        return strategy.time.loading + strategy.time.computing - before

    return train


def _batches(experience: Any) -> Any:
    return experience.dataset


def _bare_loop(
    backbone: str, settings: TrainingSettings, batch: ClipBatch, device: torch.device | str
) -> Callable[[int], None]:
    """The same model, loss and optimiser in a loop as anyone would write it."""
    model = CAVMAE(BACKBONES[backbone], batch.geometry, mask_ratio=settings.mask_ratio).to(device)
    optimiser = torch.optim.Adam(
        model.parameters(),
        lr=settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
    )
    generator = torch.Generator().manual_seed(0)

    def train(steps: int) -> None:
        for _ in range(steps):
            with torch.autocast(
                torch.device(device).type, torch.bfloat16, enabled=settings.precision == "bfloat16"
            ):
                output = model(batch, model.draw_noise(batch, generator))
                loss = training_loss(output, settings.contrastive_weight)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            loss.item()

    return train


def _timed(loop: Callable[[int], None]) -> Callable[[int], float]:
    def timed(steps: int) -> float:
        started = time.perf_counter()
        loop(steps)
        return time.perf_counter() - started

    return timed


def _in_turns(loops: dict[str, Callable[[int], float]], effort: Effort) -> dict[str, float]:
    """Median seconds per step of each loop; the loops take turns, so that a busy machine hits all alike."""
    for loop in loops.values():
        loop(effort.steps + 1)
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(effort.turns):
        for name, loop in loops.items():
            seconds[name].append(loop(effort.steps) / effort.steps)
    return {name: statistics.median(values) for name, values in seconds.items()}
