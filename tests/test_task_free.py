"""Task-free methods: what tells about tasks cannot be read, all else can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from avbench.errors import RunError
from avbench.method import Method, Strategy

READS: dict[str, Callable[[Any], Any]] = {
    "experience": lambda strategy: strategy.experience,
    "dataloader": lambda strategy: strategy.dataloader,
    "adapted_dataset": lambda strategy: strategy.adapted_dataset,
    "train_exp_counter": lambda strategy: strategy.clock.train_exp_counter,
    "train_epoch_iterations": lambda strategy: strategy.clock.train_epoch_iterations,
}


@pytest.mark.parametrize("what", READS)
def test_a_task_free_method_cannot_read_what_tells_about_tasks(
    what: str, pretraining: Any, clips: Any, task: Any
) -> None:
    class Peeking(Method):
        def before_backward(self, strategy: Strategy, **kwargs: Any) -> None:
            READS[what](strategy)

    with pytest.raises(RunError, match=rf"Peeking reads \w+\.{what}, .*needs_boundaries = False"):
        pretraining(Peeking()).train(task([clips(2)]))

    class Allowed(Peeking):
        needs_boundaries = True

    pretraining(Allowed()).train(task([clips(2)]))


def test_a_task_free_method_sees_and_changes_all_else(pretraining: Any, clips: Any, task: Any) -> None:
    seen: list[Any] = []

    class Doubling(Method):
        def before_forward(self, strategy: Any, **kwargs: Any) -> None:
            seen.append((len(strategy.mbatch), strategy.incoming, strategy.clock.train_iterations))
            strategy.mbatch = strategy.mbatch + strategy.mbatch

        def before_backward(self, strategy: Any, **kwargs: Any) -> None:
            seen.append((len(strategy.mbatch), strategy.incoming, len(strategy.mb_output.contrastive)))
            strategy.loss = strategy.loss * 0 + 5

        def after_update(self, strategy: Any, **kwargs: Any) -> None:
            seen.append((strategy.model, strategy.optimizer))

    strategy = pretraining(Doubling(), epochs=1)
    strategy.train(task([clips(3)]))
    assert seen == [(3, 3, 0), (6, 3, 6), (strategy.model, strategy.optimizer)]
    assert [report.loss for report in strategy.reports] == [5.0]
