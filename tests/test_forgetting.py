"""Average accuracy and forgetting against numbers worked by hand."""

from __future__ import annotations

import math

import pytest

from avbench.forgetting import (
    average_accuracy,
    forgetting,
    forgetting_by_task,
    forgetting_published,
    summarise,
)

# Task 0 falls from 50 over 60 to 30. Task 1 was at 40 before it was learned, scored 20 when learned, and
# ends at 25. Task 2 scored 12 once without training and ends at 70.
SCORES = [
    [50.0, 40.0, 5.0],
    [60.0, 20.0, 12.0],
    [30.0, 25.0, 70.0],
]


def test_average_is_of_the_last_stage() -> None:
    assert average_accuracy(SCORES) == pytest.approx((30 + 25 + 70) / 3)


def test_forgetting_counts_from_when_a_task_was_learned() -> None:
    # Task 0: 60 - 30 = 30. Task 1: 20 - 25 = -5, its 40 before it was learned does not count.
    assert forgetting(SCORES) == pytest.approx((30 - 5) / 2)


def test_forgetting_task_by_task_is_what_f_is_the_mean_of() -> None:
    assert forgetting_by_task(SCORES) == [30, -5]
    assert forgetting_by_task([[10.0, 20.0]]) is None


def test_forgetting_as_published_counts_all_stages_and_all_tasks() -> None:
    # Task 0: 60 - 30. Task 1: 40 - 25. Task 2: 12 - 70. Divided by T - 1.
    assert forgetting_published(SCORES) == pytest.approx((30 + 15 - 58) / 2)


def test_a_model_that_keeps_everything_forgets_nothing() -> None:
    kept = [[80.0, 0.0], [80.0, 80.0]]
    assert forgetting(kept) == 0
    assert forgetting_published(kept) == pytest.approx(-80)


def test_one_stage_has_no_forgetting() -> None:
    summary = summarise([[10.0, 20.0, 30.0]])
    assert summary.average == pytest.approx(20)
    assert summary.forgetting is None
    assert summary.forgetting_published is None


@pytest.mark.parametrize("measure", [average_accuracy, forgetting, forgetting_by_task, forgetting_published])
@pytest.mark.parametrize("broken", [[], [[]], [1.0, 2.0], [[1.0, math.nan], [1.0, 2.0]], [[math.inf]]])
def test_what_is_no_matrix_of_scores_is_refused(measure, broken) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="scores"):
        measure(broken)


@pytest.mark.parametrize("measure", [forgetting, forgetting_by_task, forgetting_published])
def test_unfinished_stream_has_no_forgetting(measure) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="2 stages for 3 tasks"):
        measure(SCORES[:2])
