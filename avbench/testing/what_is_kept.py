"""Checks of what a method keeps between steps: no more than it may, all of it counted, all of it saved."""

from __future__ import annotations

import gc
import types
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avbench.capacity import bytes_of
from avbench.exhibits.making import explained
from avbench.kept_state import kept_tensors, rehearsal_memories
from avbench.method import Method
from avbench.options import convert
from avbench.resume.training_state import load_training_state, training_state
from avbench.testing.finding import NotApplicable, Violation
from avbench.testing.tiny_run import (
    BATCH,
    CAPACITY,
    TinyRun,
    batches,
    clips,
    first_difference,
    saved_and_loaded,
    two_tasks,
)

# Generators are the run's, not the method's.
_NOT_FOLLOWED = (
    type, types.ModuleType, types.CodeType, weakref.ReferenceType, torch.Generator, np.random.Generator,
)  # fmt: skip

BUDGET = "80KiB"
"""Holds some five clips of the tiny run's size."""


def clips_within_capacity(method: type[Method]) -> None:
    """Its rehearsal memory holds clips, and no more of them than `capacity`."""
    _capacity_option(method)
    run = TinyRun(method, {"capacity": CAPACITY})
    run.train(batches(3), batches(2, 10))
    memories = list(rehearsal_memories(run.method))
    if not memories:
        _stays_within_bytes(run)
        return
    held = sum(len(memory) for _, memory in memories)
    if held > CAPACITY:
        raise Violation(f"with capacity={CAPACITY} its rehearsal memories hold {held} clips")
    if held == 0:
        raise Violation("after 20 clips its rehearsal memory is empty: offer it the clips of each step")


def bytes_within_capacity(method: type[Method]) -> None:
    """Where `capacity` is given in bytes, what it stores with its clips stays within."""
    option = _capacity_option(method)
    try:
        convert(option, BUDGET)
    except ValueError:
        raise NotApplicable("its capacity is a number of clips: type it avbench.capacity.Capacity") from None
    run = TinyRun(method, {"capacity": BUDGET})
    run.train(batches(3), batches(2, 10))
    budget = bytes_of(BUDGET)
    assert budget is not None
    kept = [entry.nbytes for entry in kept_tensors(run.method) if entry.kind == "rehearsal memory"]
    if sum(kept) > budget:
        raise Violation(f"with capacity={BUDGET} it stores {sum(kept)} bytes, more than {budget}")
    if not sum(kept):
        raise Violation(f"with capacity={BUDGET} it stores nothing, though a clip needs a fifth of that")


def every_tensor_counted(method: type[Method]) -> None:
    """Every tensor that it keeps alive is found by the account of its memory."""
    before = {address for _, _, address in _reachable(_outside(method), [])}
    run = TinyRun(method)
    run.train(*two_tasks())
    counted = {_address(entry.tensor) for entry in kept_tensors(run.method)}
    counted |= {_address(tensor) for tensor in run.tensors()} | before
    for path, size, address in _reachable([("", run.method), *_outside(method)], _of_the_run(run)):
        if address not in counted:
            raise Violation(
                f"a tensor of {size} bytes at {path} is not counted in the account of its memory: keep it at "
                "an attribute of the instance, as avbench.kept_state says"
            )


def nothing_left_of_a_step(method: type[Method]) -> None:
    """Between steps it keeps neither the clips of the step nor the graph of a loss."""
    run = TinyRun(method)
    for number in range(2):
        task = batches(2, 10 * number)
        with run.task(task):
            for batch in task:
                run.step(batch)
                arrived = {_address(part) for part in (batch.video, batch.audio, batch.clip)}
                for entry in kept_tensors(run.method, not_counting=run.tensors()):
                    if entry.tensor.grad_fn is not None:
                        raise Violation(f"it keeps the graph of a step at {entry.path!r}: detach it")
                    if _address(entry.tensor) in arrived:
                        raise Violation(
                            f"it keeps the clips of the last step at {entry.path!r}: set it to None when "
                            "done, or keep a copy"
                        )
        if method.joint:
            return


def explains(method: type[Method]) -> None:
    """Asked which patches it selects, it answers for the clips it was given, and changes nothing it keeps."""
    run = TinyRun(method)
    answers = []
    for when in ("before training", "after two tasks"):
        before = saved_and_loaded(training_state(run.strategy))
        answers.append(explained(run.strategy, clips(BATCH, 50), np.arange(BATCH)))
        if (different := first_difference(before, training_state(run.strategy))) is not None:
            raise Violation(f"explain changes {different} {when}: work on a copy, or do without")
        if when == "before training":
            run.train(*two_tasks())
    if answers == [None, None]:
        raise NotApplicable("it trains with all patches")


def model_copies(method: type[Method]) -> None:
    """After two tasks it keeps as many copies of the backbone as its `model_copies` says."""
    run = TinyRun(method)
    run.train(*two_tasks())
    # What it trains itself, such as a predictor, is no copy.
    groups = run.strategy.optimizer.param_groups
    trained: list[Tensor] = [parameter for group in groups for parameter in group["params"]]
    trained += [parameter.grad for parameter in trained if parameter.grad is not None]
    others = kept_tensors(run.method, not_counting=[*run.tensors(), *trained])
    kept = sum(entry.nbytes for entry in others if entry.kind == "other state")
    backbone = sum(value.nbytes for value in run.strategy.model.parameters())
    if round(kept / backbone) != method.model_copies:
        raise Violation(
            f"beside its rehearsal memory it keeps {kept / backbone:.2f} x the bytes of the backbone, but "
            f"says model_copies = {method.model_copies}"
        )


def state_in_mid_task(method: type[Method]) -> None:
    """Its state survives save and load in mid-task: the run goes on as if not interrupted, bit for bit."""
    run = TinyRun(method)
    first, second, third = batches(1), batches(4, 10), batches(1, 20)
    if not method.joint:
        run.train(first)
    run.begin(second)
    for batch in second[:2]:
        run.step(batch)
    state = saved_and_loaded(training_state(run.strategy))

    def rest_of(a_run: TinyRun) -> list[float]:
        losses = [a_run.step(batch) for batch in second[2:]]
        a_run.end()
        return losses + ([] if method.joint else a_run.train(third))

    expected = rest_of(run)
    again = TinyRun(method, seed=1)
    again.go_on(second, 0 if method.joint else 1)
    _goes_on_alike(run, again, state, expected, rest_of)


def state_between_tasks(method: type[Method]) -> None:
    """Its state survives save and load between two tasks, bit for bit."""
    if not method.needs_boundaries:
        raise NotApplicable("it is not told of boundaries")
    if method.joint:
        raise NotApplicable("it trains on all tasks at once")
    run, again = TinyRun(method), TinyRun(method, seed=1)
    run.train(batches(2))
    state = saved_and_loaded(training_state(run.strategy))
    again.go_on(batches(2), 0)

    def rest_of(a_run: TinyRun) -> list[float]:
        return a_run.train(batches(2, 10), batches(1, 20))

    expected = rest_of(run)
    _goes_on_alike(run, again, state, expected, rest_of)


def _goes_on_alike(
    run: TinyRun, again: TinyRun, state: dict[str, Any], expected: list[float], rest: Any
) -> None:
    load_training_state(again.strategy, state)
    if (different := first_difference(state, training_state(again.strategy))) is not None:
        raise Violation(f"what was loaded is not what was saved: {different} differs")
    losses = rest(again)
    if losses != expected:
        step = next(i for i, (one, other) in enumerate(zip(expected, losses, strict=True)) if one != other)
        raise Violation(
            f"{step + 1} steps after it was saved and loaded its loss is {losses[step]!r} instead of "
            f"{expected[step]!r}: it keeps something that is no attribute of the instance"
        )
    difference = first_difference(training_state(run.strategy), training_state(again.strategy))
    if difference is not None:
        raise Violation(f"some steps after it was saved and loaded, {difference} differs")


def _capacity_option(method: type[Method]) -> Any:
    for option in method.options():
        if option.name == "capacity":
            return option.type
    raise NotApplicable("it has no option called capacity")


def _stays_within_bytes(run: TinyRun) -> None:
    """For a memory of the method's own: it is full by now, so that it grows no more."""
    before = sum(entry.nbytes for entry in kept_tensors(run.method, not_counting=run.tensors()))
    run.train(batches(4, 30))
    after = sum(entry.nbytes for entry in kept_tensors(run.method, not_counting=run.tensors()))
    if after > before:
        raise Violation(
            f"with capacity={CAPACITY} what it keeps grows from {before} to {after} bytes between 20 and 36 "
            "clips: keep clips in an avbench.rehearsal.RehearsalMemory"
        )


def _of_the_run(run: TinyRun) -> list[object]:
    strategy = run.strategy
    plugins = [plugin for plugin in strategy.plugins if plugin is not run.method]
    return [
        strategy, strategy.model, strategy.matching, strategy.optimizer, strategy.settings,
        strategy.randomness, strategy.plugins, *plugins,
    ]  # fmt: skip


def _outside(method: type[Method]) -> list[tuple[str, object]]:
    """Where a method may keep things outside its instance: its class, and containers of its module."""
    classes = [cls for cls in method.__mro__ if issubclass(cls, Method) and cls is not Method]
    found = [(f"{cls.__name__}.{name}", value) for cls in classes for name, value in vars(cls).items()]
    for cls in classes:
        scope = getattr(cls.__init__, "__globals__", {})
        if scope.get("__name__") == cls.__module__:
            found += [
                (name, value)
                for name, value in scope.items()
                if isinstance(value, dict | list | set | deque) and not name.startswith("__")
            ]
    return found


def _reachable(
    roots: Iterable[tuple[str, object]], others: Iterable[object]
) -> Iterator[tuple[str, int, int]]:
    """Yield every tensor and array that Python's own garbage collector finds below `roots`.

    As path (the root's name), bytes, and address of the storage. What `others` holds is not followed. This
    knows nothing of what `avbench.kept_state` knows, so that the two can be compared.
    """
    others = list(others)
    seen = {id(other) for other in others}
    # `waiting` and `alive` hold on to objects, as Python may give a freed object's id to the next one.
    alive: list[object] = []
    waiting = [(path, root) for path, root in roots if not isinstance(root, types.FunctionType)]
    while waiting:
        path, found = waiting.pop()
        if id(found) in seen:
            continue
        if isinstance(found, _NOT_FOLLOWED):
            continue
        seen.add(id(found))
        alive.append(found)
        if isinstance(found, np.ndarray):
            if found.nbytes:
                yield path, found.nbytes, found.__array_interface__["data"][0]
        elif isinstance(found, Tensor):
            if storage := found.untyped_storage().nbytes():
                yield path, storage, _address(found)
            if found.is_leaf and found.grad is not None:
                waiting.append((f"{path}.grad", found.grad))
        else:
            waiting += [(_below(path, found, value), value) for value in _referents(found)]


def _referents(found: object) -> list[object]:
    if isinstance(found, types.FunctionType):
        # Not its globals, which lead everywhere.
        return [found.__closure__, found.__defaults__, found.__kwdefaults__]
    return gc.get_referents(found)


def _below(path: str, found: object, value: object) -> str:
    """The path of an attribute by its name; of anything else that of what it hangs at."""
    for name, attribute in getattr(found, "__dict__", {}).items():
        if attribute is value:
            return f"{path}.{name}" if path else name
    return path or type(found).__name__


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
