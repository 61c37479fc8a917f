"""Checks of how a method trains: reproducibly, at every size of batch, knowing only what it may know."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from avbench.backbone.model import CAVMAE
from avbench.clips import ClipBatch
from avbench.evaluation import embed
from avbench.method import Method
from avbench.settings import TrainingSettings
from avbench.step_memory import step_memory
from avbench.testing.finding import NotApplicable, Violation
from avbench.testing.tiny_run import (
    BATCH,
    GEOMETRY,
    SIZE,
    TinyRun,
    batches,
    clips,
    first_difference,
    small_options,
    two_tasks,
)


def trains(method: type[Method]) -> None:
    """It trains on two tasks, from an empty memory on, with finite losses."""
    TinyRun(method).train(*two_tasks())


def same_seed(method: type[Method]) -> None:
    """Two runs with one seed give the same losses and the same model, bit for bit."""
    losses, models = [], []
    for other_seed in range(2):
        with _global_generators_back():
            # Whatever is drawn from these while the method is made must have no effect.
            torch.manual_seed(other_seed)
            np.random.seed(other_seed)
            random.seed(other_seed)
            run = TinyRun(method)
        # Drawing from them in a step is found by the next check.
        with _global_generators_back():
            losses.append(run.train(*two_tasks()))
        models.append(run.strategy.model.state_dict())
    if losses[0] != losses[1]:
        step = next(i for i, (one, other) in enumerate(zip(*losses, strict=True)) if one != other)
        raise Violation(
            f"the losses of two runs with one seed differ from step {step + 1} on "
            f"({losses[0][step]!r} and {losses[1][step]!r}): draw from self.generator(name) alone, and keep "
            "nothing outside the method's instance"
        )
    if (different := first_difference(models[0], models[1])) is not None:
        raise Violation(f"the models of two runs with one seed differ in {different}")


def no_global_generator(method: type[Method]) -> None:
    """It draws from the run's named generators, not from torch's, NumPy's or Python's global ones."""
    run = TinyRun(method)
    with _global_generators_back():
        before = _global_generators()
        run.train(*two_tasks())
        after = _global_generators()
    if drawn := [name for name in before if first_difference(before[name], after[name]) is not None]:
        raise Violation(
            f"it draws from the global generator of {' and '.join(drawn)}: pass generator="
            "self.generator(name) to torch, or draw with self.numpy_generator(name)"
        )


def one_clip(method: type[Method]) -> None:
    """It trains on batches of one clip, with an empty memory and with a filled one."""
    TinyRun(method).train(batches(2, size=1) + batches(2, 10), batches(2, 20, size=1))


def short_batch(method: type[Method]) -> None:
    """It trains where the last batch of a task is shorter than the others."""
    TinyRun(method).train([*batches(2), clips(3, 5)], [*batches(1, 10), clips(2, 15)])


def micro_batches(method: type[Method]) -> None:
    """It trains with micro-batches, the last of them shorter."""
    TinyRun(method, micro_batch_size=3).train(*two_tasks())


def bfloat16(method: type[Method]) -> None:
    """It trains in bfloat16, the model's parameters staying float32."""
    run = TinyRun(method, precision="bfloat16")
    run.train(*two_tasks())
    if wrong := [name for name, p in run.strategy.model.named_parameters() if p.dtype != torch.float32]:
        raise Violation(f"the model's {wrong[0]} is no longer float32")


def gpu(method: type[Method]) -> None:
    """It trains on a GPU."""
    if not torch.cuda.is_available():
        raise NotApplicable("no GPU here")
    TinyRun(method, device="cuda").train(*two_tasks())


def measured_without_running(method: type[Method]) -> None:
    """Its memory can be measured without running it (avbench memory)."""
    step_memory(
        lambda: method(**small_options(method)),
        size=SIZE,
        geometry=GEOMETRY,
        settings=TrainingSettings(batch_size=BATCH),
    )


def evaluated(method: type[Method]) -> None:
    """What it is evaluated with is a backbone with finite embeddings, before training and after."""
    run = TinyRun(method)
    for when in ("before training", "after two tasks"):
        model = run.method.evaluated_model(run.strategy.model)
        if not isinstance(model, CAVMAE):
            raise Violation(f"evaluated_model returned {type(model).__name__} {when}: return a CAVMAE")
        for embeddings in embed(model, [clips(BATCH, 50)], "cpu"):
            if not np.isfinite(embeddings).all():
                raise Violation(f"the model it is evaluated with gives embeddings that are not finite {when}")
        if when == "before training":
            run.train(*two_tasks())


def task_free(method: type[Method]) -> None:
    """A task-free method computes the same wherever tasks begin and end and whatever they are called."""
    if method.needs_boundaries:
        raise NotApplicable("it needs boundaries")
    if method.joint:
        raise NotApplicable("it trains on all tasks at once")
    stream = batches(5)

    def losses_with(*numbered_tasks: tuple[int, Sequence[ClipBatch]]) -> list[float]:
        run, losses = TinyRun(method), []
        for number, task in numbered_tasks:
            with run.task(task, number):
                losses += [run.step(batch) for batch in task]
        return losses

    with _global_generators_back():
        here = losses_with((0, stream[:3]), (1, stream[3:]))
    elsewhere = losses_with((4, stream[:1]), (0, stream[1:4]), (7, stream[4:]))
    if here != elsewhere:
        step = next(i for i, (a, b) in enumerate(zip(here, elsewhere, strict=True)) if a != b)
        raise Violation(
            f"with tasks cut elsewhere in the same stream the losses differ from step {step + 1} on: it "
            "learns of tasks somewhere; set needs_boundaries = True, or do without"
        )


def _global_generators() -> dict[str, Any]:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "NumPy": [kind, torch.from_numpy(np.array(keys)), *rest],
        "Python": random.getstate(),
    }


@contextmanager
def _global_generators_back() -> Iterator[None]:
    """Give the global generators back as they were before the `with` block."""
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])
