"""Saving and loading what a method keeps: nothing lost, nothing doubled, the unknown refused by its path."""

from __future__ import annotations

import copy
import enum
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from avbench.backbone import CAVMAE, Tokens
from avbench.clips import ClipBatch
from avbench.errors import RunError
from avbench.method import Method
from avbench.model_copies import frozen_copy
from avbench.rehearsal import RehearsalMemory
from avbench.resume.method_state import load_state, state_dict_of
from avbench.resume.training_state import load_training_state, training_state
from avbench.testing.tiny_run import TinyRun, batches, clips, first_difference, saved_and_loaded


@dataclass(frozen=True)
class Statistics:
    mean: torch.Tensor
    seen: int


class Phase(enum.Enum):
    EARLY = 1
    LATE = 2


class Pair(NamedTuple):
    one: int
    other: torch.Tensor


class Running:
    """Not a dataclass: must be there in the fresh method."""

    def __init__(self) -> None:
        self.mean = torch.zeros(2)


class Keeper(Method):
    """Keeps whatever a test hangs at it."""

    paper = "made up, 2026"

    kept: Any

    def __init__(self) -> None:
        super().__init__()
        self.memory = RehearsalMemory(5)
        self.running = Running()
        self.head: nn.Module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        self.activation = torch.relu


def keeper(seed: int = 0) -> tuple[Keeper, TinyRun]:
    run = TinyRun(Keeper, seed=seed)
    assert isinstance(run.method, Keeper)
    return run.method, run


def through_a_file(method: Keeper, run: TinyRun) -> tuple[Keeper, TinyRun]:
    state = saved_and_loaded(state_dict_of(method, run.strategy))
    other, other_run = keeper(1)
    load_state(other, state, other_run.strategy)
    assert first_difference(state, state_dict_of(other, other_run.strategy)) is None
    return other, other_run


VALUES: dict[str, Callable[[], Any]] = {
    "number": lambda: 3,
    "not a number": lambda: float("nan"),
    "huge": lambda: 2**90,
    "text": lambda: "x",
    "bytes": lambda: b"x",
    "nothing": lambda: None,
    "shape": lambda: torch.Size([2, 3]),
    "type": lambda: torch.float16,
    "tensor": lambda: torch.tensor([1.5, float("nan")]),
    "scalar": lambda: torch.tensor(3),
    "bfloat16": lambda: torch.ones(2, dtype=torch.bfloat16),
    "parameter": lambda: nn.Parameter(torch.ones(2)),
    "array": lambda: np.arange(3, dtype=np.float64),
    "numpy number": lambda: np.float64(0.1),
    "list": lambda: [1, [torch.ones(1)], []],
    "tuple": lambda: (1, (torch.ones(1), "a")),
    "set": lambda: {1, 2},
    "frozen set": lambda: frozenset({"a"}),
    "dict": lambda: {"a": {3: torch.ones(1)}, ("b", 1): None},
    "ordered dict": lambda: OrderedDict(a=1),
    "counter": lambda: Counter("aab"),
    "defaultdict": lambda: defaultdict(list, a=[1]),
    "deque": lambda: deque([torch.ones(1), torch.zeros(1)], maxlen=3),
    "dataclass": lambda: Statistics(torch.ones(2), 3),
    "named tuple": lambda: Pair(1, torch.ones(2)),
    "tokens": lambda: Tokens(torch.ones(1), torch.zeros(1)),
    "clips": lambda: clips(2, 0),
    "enum": lambda: Phase.LATE,
}


@pytest.mark.parametrize("name", VALUES)
def test_what_may_be_kept_comes_back(name: str) -> None:
    method, run = keeper()
    method.kept = VALUES[name]()
    other, _ = through_a_file(method, run)
    assert type(other.kept) is type(method.kept)
    if isinstance(method.kept, int | str | bytes | set | frozenset | Counter | OrderedDict | Phase):
        assert other.kept == method.kept
    if isinstance(method.kept, np.ndarray):
        assert other.kept.tolist() == method.kept.tolist()
    if isinstance(method.kept, deque):
        assert other.kept.maxlen == method.kept.maxlen
    if isinstance(method.kept, ClipBatch):
        assert torch.equal(other.kept.video, method.kept.video)


def test_memory_module_and_helper_are_loaded() -> None:
    method, run = keeper()
    method.memory.add(clips(4, 1))
    method.running.mean += 1
    method.head(torch.randn(4, 3))  # moves the running mean
    method.head[1].eval()  # type: ignore[index]
    with torch.no_grad():
        method.head[0].weight += 1  # type: ignore[index]
    other, _ = keeper(1)
    weight = other.head[0].weight  # type: ignore[index]
    state = saved_and_loaded(state_dict_of(method, run.strategy))
    other, other_run = keeper(1)
    weight = other.head[0].weight  # type: ignore[index]
    load_state(other, state, other_run.strategy)
    assert other.memory.seen == 4
    assert torch.equal(other.memory.contents["video"], method.memory.contents["video"])
    assert torch.equal(other.running.mean, torch.ones(2))
    assert other.head[0].weight is weight  # type: ignore[index]
    assert torch.equal(weight, method.head[0].weight)  # type: ignore[index]
    assert torch.equal(other.head[1].running_mean, method.head[1].running_mean)  # type: ignore[index]
    assert [part.training for part in other.head.modules()] == [True, True, False]


def test_a_teacher_made_on_the_way_is_made_again() -> None:
    method, run = keeper()
    method.kept = [frozen_copy(run.strategy.model)]
    run.train(batches(2))
    other, other_run = through_a_file(method, run)
    (teacher,) = other.kept
    assert isinstance(teacher, CAVMAE)
    assert teacher is not other_run.strategy.model
    for ours, theirs in zip(method.kept[0].parameters(), teacher.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert not theirs.requires_grad


def test_one_object_in_two_places_stays_one() -> None:
    method, run = keeper()
    tensor, numbers = torch.zeros(2), [1]
    numbers.append(numbers)  # type: ignore[arg-type]
    method.kept = {"a": tensor, "b": [tensor, numbers], "c": numbers}
    other, _ = through_a_file(method, run)
    assert other.kept["a"] is other.kept["b"][0]
    assert other.kept["b"][1] is other.kept["c"] is other.kept["c"][1]


def test_what_belongs_to_the_run_comes_back_as_that_of_the_new_run() -> None:
    method, run = keeper()
    strategy = run.strategy
    parameter = strategy.model.norm.weight
    method.kept = [
        strategy.model, strategy.model.norm, {parameter: 1}, strategy.optimizer, strategy.settings,
        method.generator("a"), strategy.optimizer.param_groups[0],
    ]  # fmt: skip
    other, other_run = through_a_file(method, run)
    new = other_run.strategy
    assert other.kept[0] is new.model
    assert other.kept[1] is new.model.norm
    assert next(iter(other.kept[2])) is new.model.norm.weight
    assert other.kept[3] is new.optimizer
    assert other.kept[4] is new.settings
    assert other.kept[5] is other.generator("a")
    assert other.kept[6] is new.optimizer.param_groups[0]


def test_loading_copies_and_leaves_the_state_alone() -> None:
    method, run = keeper()
    method.kept = torch.zeros(2)
    state = state_dict_of(method, run.strategy)
    other, other_run = keeper(1)
    other.kept = other.extra = 1  # type: ignore[attr-defined]
    load_state(other, state, other_run.strategy)
    other.kept += 1
    assert torch.equal(method.kept, torch.zeros(2))
    assert not hasattr(other, "extra")


class Hoarder(RehearsalMemory):
    """Keeps scores beside its clips, which its state leaves out."""

    def __init__(self) -> None:
        super().__init__(5)
        self.scores: list[float] = []


REFUSED: dict[str, tuple[Callable[[TinyRun], Any], str]] = {
    "graph": (lambda run: torch.ones(2, requires_grad=True) * 2, r"graph of a step"),
    "iterator": (lambda run: iter([torch.ones(1)]), r"list_iterator at 'kept', which cannot be saved"),
    "view": (lambda run: list(torch.ones(2)), r"shares its storage with kept"),
    "alias": (lambda run: run.strategy.model.norm.weight.detach(), r"the run's model\.norm\.weight"),
    "generator": (lambda run: torch.Generator(), r"self\.generator\(name\)"),
    "closure": (lambda run: lambda: run, r"function at 'kept'"),
    "optimiser": (lambda run: torch.optim.SGD([torch.ones(1)]), r"SGD at 'kept'"),
    "memory": (lambda run: Hoarder(), r"keeps scores beside its clips"),
    "kind of list": (lambda run: type("Mine", (list,), {})(), r"Mine at 'kept'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_saved_is_refused_with_its_path(name: str) -> None:
    method, run = keeper()
    make, message = REFUSED[name]
    method.kept = make(run)
    with pytest.raises(RunError, match=message):
        state_dict_of(method, run.strategy)


def test_a_module_that_cannot_be_made_again_is_refused() -> None:
    method, run = keeper()
    method.kept = nn.Linear(2, 2)
    state = state_dict_of(method, run.strategy)
    other, other_run = keeper(1)
    with pytest.raises(RunError, match=r"had a Linear at 'kept'.*make it in __init__ or attach"):
        load_state(other, state, other_run.strategy)


def test_a_constant_that_differs_is_refused() -> None:
    method, run = keeper()
    method.kept = Path("a")
    state = state_dict_of(method, run.strategy)
    other, other_run = keeper(1)
    with pytest.raises(RunError, match=r"at 'kept', the fresh one has nothing"):
        load_state(other, state, other_run.strategy)


class Predicts(Method):
    """Trains a predictor of its own along."""

    paper = "made up, 2026"

    def attach(self, strategy: Any) -> None:
        super().attach(strategy)
        self.predictor = nn.Linear(32, 32)
        with torch.no_grad():
            self.predictor.weight.normal_(std=0.1, generator=self.generator("predictor"))
            self.predictor.bias.zero_()
        strategy.optimizer.add_param_group({"params": list(self.predictor.parameters()), "lr": 0.01})

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        output = strategy.mb_output
        strategy.loss = (
            strategy.loss + (self.predictor(output.audio_pooled) - output.video_pooled).pow(2).mean()
        )


def test_the_whole_training_goes_on_bit_for_bit() -> None:
    stream = batches(6)
    run = TinyRun(Predicts)
    run.begin(stream)
    losses = [run.step(batch) for batch in stream[:3]]
    state = saved_and_loaded(training_state(run.strategy))
    losses += [run.step(batch) for batch in stream[3:]]

    for _ in range(2):  # a state can be loaded more than once
        again = TinyRun(Predicts, seed=5)
        again.go_on(stream)
        load_training_state(again.strategy, state)
        assert first_difference(state, training_state(again.strategy)) is None
        assert [again.step(batch) for batch in stream[3:]] == losses[3:]
        assert first_difference(training_state(run.strategy), training_state(again.strategy)) is None
        predictor = again.method.predictor.weight  # type: ignore[attr-defined]
        assert again.strategy.optimizer.param_groups[1]["params"][0] is predictor
        assert again.strategy.clock.train_iterations == 6


def test_a_training_of_another_configuration_is_refused() -> None:
    state = training_state(TinyRun(Method).strategy)
    with pytest.raises(RunError, match="another configuration"):
        load_training_state(TinyRun(Predicts).strategy, state)
    with pytest.raises(RunError, match="one of Method, not of Keeper"):
        load_state(*_method_and(state["method"]))


def _method_and(state: dict[str, Any]) -> tuple[Keeper, dict[str, Any], Any]:
    method, run = keeper()
    return method, copy.deepcopy(state), run.strategy
