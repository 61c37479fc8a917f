"""Each check can fail: for each there is a method that breaks what it checks, and nothing else."""

from __future__ import annotations

import random
import re
import unittest
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch

from avbench import processes
from avbench.backbone import CAVMAE
from avbench.capacity import Capacity
from avbench.clips import ClipBatch
from avbench.errors import InputError
from avbench.explanation import Choice, Explanation
from avbench.method import Method
from avbench.model_copies import frozen_copy, move_towards
from avbench.rehearsal import RehearsalMemory
from avbench.testing import CHECKS, check_strategy
from avbench.testing.several_processes import as_processes, several_processes


class Good(Method):
    """Rehearse as ER does."""

    paper = "made up, 2026"

    def __init__(self, *, capacity: Capacity = 2000) -> None:
        """Args:
        capacity: clips in the memory.
        """
        super().__init__()
        self.memory = RehearsalMemory(capacity)

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        incoming = strategy.mbatch
        if self.memory:
            strategy.mbatch = incoming + self.memory.sample(len(incoming))
        self.memory.add(incoming)


class MisspeltHook(Good):
    """Has a hook that would never be called."""

    def before_foward(self, strategy: Any, **kwargs: Any) -> None:
        strategy.loss = strategy.loss * 2


class PositionalOption(Method):
    """Has an option that is not keyword-only.

    Args:
        weight: of something.
    """

    paper = "made up, 2026"

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()


class DefaultOfAnotherType(Method):
    """Has a default that the option's own type refuses.

    Args:
        weight: of something.
    """

    paper = "made up, 2026"

    def __init__(self, *, weight: float = "much") -> None:  # type: ignore[assignment]
        super().__init__()


class Explodes(Good):
    """Loses its loss."""

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        strategy.loss = strategy.loss * float("nan")


class NoYear(Good):
    """Does not say from when it is."""

    paper = "somewhere"


class NoSentence(Good):
    """This line goes on
    below."""


class Undescribed(Good):
    """Does not describe its option."""

    def __init__(self, *, capacity: Capacity = 2000) -> None:
        super().__init__(capacity=capacity)


class TakesNaN(Good):
    """Takes any weight.

    Args:
        capacity: clips in the memory.
        weight: of something.
    """

    def __init__(self, *, capacity: Capacity = 2000, weight: float = 1.0) -> None:
        super().__init__(capacity=capacity)


class Asserts(Good):
    """Refuses with an assertion.

    Args:
        capacity: clips in the memory.
        weight: of something.
    """

    def __init__(self, *, capacity: Capacity = 2000, weight: int = 1) -> None:
        super().__init__(capacity=capacity)
        assert weight >= 0


class HoldsNothing(Method):
    """Takes a capacity of 0.

    Args:
        capacity: clips in the memory.
    """

    paper = "made up, 2026"

    def __init__(self, *, capacity: int = 2000) -> None:
        super().__init__()
        self.capacity = capacity


class OutsideTheInstance(Good):
    """Counts runs at its class."""

    runs: ClassVar[list[int]] = []

    def __init__(self, *, capacity: Capacity = 2000) -> None:
        """Args:
        capacity: clips in the memory.
        """
        super().__init__(capacity=capacity)
        self.runs.append(1)
        self.run = float(len(self.runs))

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        strategy.loss = strategy.loss + self.run


class GlobalTorch(Good):
    """Draws from torch's global generator."""

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        strategy.loss = strategy.loss + 0 * torch.rand(())


class GlobalPython(Good):
    """Draws from Python's global generator."""

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        strategy.loss = strategy.loss + 0 * random.random()


class Peeks(Good):
    """Reads the task past the view that withholds it."""

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        strategy.loss = strategy.loss * (1 + strategy._target.experience.current_experience)


class WantsTwoClips(Good):
    """Fails on a single clip."""

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        if strategy.incoming == 1:
            raise InputError("one clip has no neighbour")


class WantsFullBatches(Good):
    """Fails on a batch of three clips."""

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        strategy.loss = (
            strategy.loss + 0 * torch.zeros(2 if strategy.incoming in (2, 3) else 1).reshape(1).sum()
        )


class WantsWholeBatches(Good):
    """Fails in micro-batches."""

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        super().before_forward(strategy)
        if strategy.settings.micro_batch_size:
            raise InputError("no micro-batches, please")


class WantsFloat32(Good):
    """Multiplies what autocast made bfloat16 with float32."""

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        with strategy.autocast():
            features = strategy.model.pooled(strategy.mbatch, strategy.mb_noise).audio
            product = features.to(torch.float32) @ torch.ones(32, 1)
        if product.dtype != torch.float32:
            raise InputError("only float32")


class ReadsValues(Good):
    """Reads the loss's value, which fake tensors do not have."""

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        if strategy.loss.item() < 0:
            strategy.loss = strategy.loss * 0


class EvaluatesNothing(Good):
    """Returns no model to evaluate."""

    def evaluated_model(self, model: CAVMAE) -> CAVMAE:
        return None  # type: ignore[return-value]


class MovesParameters(Good):
    """Shrinks a parameter by hand."""

    def after_update(self, strategy: Any, **kwargs: Any) -> None:
        with torch.no_grad():
            strategy.model.norm.weight.mul_(0.99)


class ChangesTheRate(Good):
    """Has a schedule of its own."""

    def before_update(self, strategy: Any, **kwargs: Any) -> None:
        strategy.optimizer.param_groups[0]["lr"] *= 0.9


class StopsTraining(Good):
    """Leaves the model in evaluation mode."""

    def after_forward(self, strategy: Any, **kwargs: Any) -> None:
        strategy.model.eval()


class DrawsMasks(Good):
    """Draws from the generator that masks."""

    def after_forward(self, strategy: Any, **kwargs: Any) -> None:
        torch.rand(1, generator=strategy.randomness.torch("masking"))


class TwoMemories(Good):
    """Fills two memories, each of the whole capacity."""

    def __init__(self, *, capacity: Capacity = 2000) -> None:
        """Args:
        capacity: clips in the memory.
        """
        super().__init__(capacity=capacity)
        self.other = RehearsalMemory(capacity)

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        self.other.add(strategy.mbatch)
        super().before_forward(strategy)


class Empty(Good):
    """Offers no clip to its memory."""

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        if self.memory:
            strategy.mbatch = strategy.mbatch + self.memory.sample(1)


class GrowsWithoutEnd(Method):
    """Keeps every clip in a list.

    Args:
        capacity: clips in the memory, it says.
    """

    paper = "made up, 2026"

    def __init__(self, *, capacity: int = 2000) -> None:
        super().__init__()
        RehearsalMemory(capacity)  # checks the number
        self.clips: list[torch.Tensor] = []

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        self.clips.append(strategy.mbatch.audio.clone())


class KeepsTheGraph(Good):
    """Keeps the last loss with its graph."""

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        self.last = strategy.loss


class KeepsTheBatch(Good):
    """Keeps the clips of the last step."""

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        self.last = strategy.mbatch
        super().before_forward(strategy)


class HidesATensor(Good):
    """Keeps a tensor at its class."""

    hidden: ClassVar[dict[str, torch.Tensor]] = {}

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        self.hidden["loss"] = strategy.loss.detach().clone()


class UndeclaredCopy(Good):
    """Keeps a copy of the backbone and does not say so."""

    def attach(self, strategy: Any) -> None:
        super().attach(strategy)
        self.slow = frozen_copy(strategy.model)


class ForgetsItsCounter(Good):
    """Counts steps in a closure, where nothing is saved."""

    def __init__(self, *, capacity: Capacity = 2000) -> None:
        """Args:
        capacity: clips in the memory.
        """
        super().__init__(capacity=capacity)
        self.counter = _Counter()

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        strategy.loss = strategy.loss * self.counter.next()


class _Counter:
    """Keeps its number where it cannot be seen: in the module."""

    numbers: ClassVar[dict[int, int]] = {}

    def next(self) -> int:
        self.numbers[id(self)] = self.numbers.get(id(self), 0) + 1
        return self.numbers[id(self)]


class ForgetsATask(Method):
    """Weighs the loss by the tasks so far, and keeps their number where nothing is saved."""

    paper = "made up, 2026"
    needs_boundaries = True

    def __init__(self) -> None:
        super().__init__()
        self.counter = _Counter()
        self.weight = 1

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self.weight = self.counter.next()

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        strategy.loss = strategy.loss * self.weight


class RemembersWhatItIsShown(Good):
    """Explains its choice, and puts the clips in its memory."""

    def explain(self, strategy: Any, clips: ClipBatch) -> Explanation:
        self.memory.add(clips)
        every = torch.arange(clips.audio.shape[1]).expand(len(clips), -1)
        return Explanation(audio=Choice(every), video=Choice(every[:, :1]))


class ExplainsOtherClips(Good):
    """Explains its choice among more clips than it was asked about."""

    def explain(self, strategy: Any, clips: ClipBatch) -> Explanation:
        first = torch.zeros(len(clips) + 1, 1, dtype=torch.int64)
        return Explanation(audio=Choice(first), video=Choice(first))


class MovesItsCopyByChance(Good):
    """Has a slow copy that each process moves by numbers of its own."""

    over_processes = True

    def attach(self, strategy: Any) -> None:
        super().attach(strategy)
        self.slow = frozen_copy(strategy.model)

    def after_update(self, strategy: Any, **kwargs: Any) -> None:
        if self.numpy_generator("moves").random() < 0.5:
            move_towards(self.slow, strategy.model, 0.5)

    def evaluated_model(self, model: CAVMAE) -> CAVMAE:
        return self.slow


class MovesItsCopyAlike(MovesItsCopyByChance):
    """Has a slow copy that all processes move at the same steps."""

    over_processes = True

    def after_update(self, strategy: Any, **kwargs: Any) -> None:
        if self.common_numpy_generator("moves").random() < 0.5:
            move_towards(self.slow, strategy.model, 0.5)


class ExchangesOnlyWithClips(Good):
    """Asks how many clips there are, where it has some."""

    over_processes = True

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        strategy.loss = strategy.loss * (1 + 0 * processes.total(len(strategy.mbatch)))


class ExchangesAlways(ExchangesOnlyWithClips):
    """Asks how many clips there are, and tells of none."""

    over_processes = True

    def stand_by_backward(self, strategy: Any) -> None:
        processes.total(0)


class AsksForTheOthers(Good):
    """Lets one process do something that another does not."""

    over_processes = True

    def before_update(self, strategy: Any, **kwargs: Any) -> None:
        if processes.rank() == 0:
            for value in strategy.model.parameters():
                if value.grad is not None:
                    value.grad.mul_(0.5)


# The method, the check it fails (and others that cannot but fail along), and what the reason says.
FAILING: list[tuple[type[Method], str, set[str], str]] = [
    (MisspeltHook, "hooks", {"constructs"}, r"did you mean before_forward\?"),
    (PositionalOption, "constructs", {"described", "refuses-nonsense"}, "not keyword-only"),
    (DefaultOfAnotherType, "constructs", {"refuses-nonsense"}, "default of another type"),
    (Explodes, "trains", set(), "loss became nan"),
    (NoYear, "described", set(), "with its year"),
    (NoSentence, "described", set(), "one sentence"),
    (Undescribed, "described", set(), "'capacity' is not described"),
    (TakesNaN, "refuses-nonsense", set(), "'weight' takes nan"),
    (Asserts, "refuses-nonsense", set(), "'weight' refuses -1 with AssertionError"),
    (HoldsNothing, "refuses-nonsense", set(), "'capacity' takes 0"),
    (OutsideTheInstance, "same-seed", {"task-free"}, "nothing outside the method"),
    (GlobalTorch, "no-global-generator", set(), "global generator of torch"),
    (GlobalPython, "no-global-generator", set(), "global generator of Python"),
    (Peeks, "task-free", set(), "it learns of tasks somewhere"),
    (WantsTwoClips, "one-clip", {"micro-batches"}, "one clip has no neighbour"),
    (WantsFullBatches, "short-batch", {"micro-batches"}, "RuntimeError: shape"),
    (WantsWholeBatches, "micro-batches", set(), "no micro-batches, please"),
    (WantsFloat32, "bfloat16", set(), "only float32"),
    (ReadsValues, "measured-without-running", set(), "cannot be measured without running it"),
    (EvaluatesNothing, "evaluated", set(), "returned NoneType before training"),
    (MovesParameters, "hands-off", set(), r"after_update changes parameter model\.norm\.weight"),
    (ChangesTheRate, "hands-off", set(), r"before_update changes optimiser group \[0\]\.lr"),
    (StopsTraining, "hands-off", set(), r"after_forward changes the mode \(train or eval\) of model"),
    (DrawsMasks, "hands-off", set(), "after_forward changes the run's generator masking"),
    (TwoMemories, "clips-within-capacity", {"bytes-within-capacity"}, "memories hold 10 clips"),
    (Empty, "clips-within-capacity", {"bytes-within-capacity"}, "its rehearsal memory is empty"),
    (GrowsWithoutEnd, "clips-within-capacity", set(), "what it keeps grows"),
    (KeepsTheGraph, "nothing-left-of-a-step", {"state-in-mid-task"}, "keeps the graph of a step at 'last'"),
    (KeepsTheBatch, "nothing-left-of-a-step", set(), r"clips of the last step at 'last\.video'"),
    (HidesATensor, "every-tensor-counted", set(), r"4 bytes at HidesATensor\.hidden is not counted"),
    (UndeclaredCopy, "model-copies", set(), r"1\.00 x the bytes of the backbone, but says model_copies = 0"),
    (MovesItsCopyByChance, "several-processes", set(), r"end with a different evaluated model\."),
    (ExchangesOnlyWithClips, "several-processes", set(), "exchanges? (what another|different)"),
    (AsksForTheOthers, "several-processes", set(), r"end with a different model\."),
    (RemembersWhatItIsShown, "explains", set(), r"explain changes method\..* before training"),
    (ExplainsOtherClips, "explains", set(), r"ExplainsOtherClips\.explain does not fit the clips"),
    (ForgetsItsCounter, "state-in-mid-task", set(), "keeps something that is no attribute"),
    (ForgetsATask, "state-between-tasks", {"state-in-mid-task"}, "keeps something that is no attribute"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "check", "along", "reason"), FAILING, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_check_fails_where_it_should(
    method: type[Method], check: str, along: set[str], reason: str
) -> None:
    # The checks that cost nothing, and the one in question: all of them on every method would take minutes.
    cheap = {"hooks", "constructs", "described", "refuses-nonsense"}
    findings = [each.find(method) for each in CHECKS if each.name in (check, *along, *cheap)]
    failed = {found.check: found.reason for found in findings if found.outcome == "failed"}
    assert failed.keys() == {check, *along}
    assert re.search(reason, failed[check])


def test_every_check_is_seen_to_fail() -> None:
    assert {check.name for check in CHECKS} - {check for _, check, _, _ in FAILING} == {
        "gpu",
        "bytes-within-capacity",
    }


def test_a_good_method_passes() -> None:
    findings = check_strategy(Good)
    assert [found for found in findings if found.outcome == "failed"] == []
    assert [found.check for found in findings] == [check.name for check in CHECKS]
    reasons = {found.check: found.reason for found in findings if found.outcome == "not applicable"}
    assert reasons["state-between-tasks"] == "it is not told of boundaries"
    assert reasons["several-processes"] == "it does not say over_processes = True"
    if not torch.cuda.is_available():
        assert reasons["gpu"] == "no GPU here"


@pytest.mark.parametrize("method", [MovesItsCopyAlike, ExchangesAlways])
def test_what_is_alike_in_several_processes_passes(method: type[Method]) -> None:
    several_processes(method)


def test_threads_that_stand_for_processes_exchange_in_order_of_rank() -> None:
    def work() -> list[Any]:
        rank = processes.rank()
        with processes.alone():
            assert processes.count() == 1
        rows, first = processes.gather_rows(torch.full((rank + 1, 2), float(rank)))
        return [
            processes.gathered(rank), processes.total(rank), processes.of_first(rank), rows[:, 0].tolist(),
            first, processes.summed(torch.tensor([1.0, rank])).tolist(), processes.part(4),
        ]  # fmt: skip

    rows = [0.0, 1.0, 1.0, 2.0, 2.0, 2.0]
    assert as_processes(3, work) == [
        [[0, 1, 2], 3, 0, rows, first, [3.0, 3.0], part] for first, part in ((0, 2), (1, 1), (3, 1))
    ]
    assert processes.count() == 1


def test_an_error_in_one_of_them_is_told_and_ends_the_others() -> None:
    def work() -> None:
        if processes.rank() == 1:
            raise ValueError("on purpose")
        processes.total(1)

    with pytest.raises(ValueError, match="on purpose"):
        as_processes(2, work)


def test_after_a_failure_that_stops_everything_the_rest_is_not_tried() -> None:
    findings = check_strategy(Explodes)
    outcomes = [found.outcome for found in findings]
    assert outcomes[:3] == ["ok", "ok", "failed"]
    assert {found.reason for found in findings[3:]} == {"not tried, as trains failed"}


class OverBudget(Good):
    """Keeps features in a second memory that is not within the budget."""

    def __init__(self, *, capacity: Capacity = 2000) -> None:
        """Args:
        capacity: clips in the memory.
        """
        super().__init__(capacity=capacity)
        self.other = RehearsalMemory(20) if isinstance(capacity, str) else self.memory

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        super().before_forward(strategy)
        if self.other is not self.memory:
            self.other.add(strategy.mbatch[: strategy.incoming])


def test_a_budget_in_bytes_that_is_not_kept() -> None:
    memory = [check.find(OverBudget) for check in CHECKS if check.name.endswith("within-capacity")]
    failed = [found for found in memory if found.outcome == "failed"]
    assert [found.check for found in failed] == ["bytes-within-capacity"]
    assert "more than 81920" in failed[0].reason


@pytest.mark.parametrize(
    ("outcome", "raised"), [("failed", AssertionError), ("not applicable", unittest.SkipTest)]
)
def test_in_a_test_a_check_raises(outcome: str, raised: type[BaseException]) -> None:
    names: dict[str, Callable[[Any], bool]] = {
        "failed": lambda check: check.name == "described",
        "not applicable": lambda check: check.name == "state-between-tasks",
    }
    (check,) = filter(names[outcome], CHECKS)
    with pytest.raises(raised, match=check.name):
        check(NoYear)
