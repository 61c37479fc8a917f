"""How many checkpoints a run makes."""

from __future__ import annotations

import pytest

from avbench.bench_checkpoints import checkpoints_of


@pytest.mark.parametrize(
    ("tasks", "save_seconds", "wanted"),
    [
        # Shorter than the interval of five minutes: at the ends of tasks alone.
        ([100.0] * 8, 0.1, 16),
        ([700.0, 299.0], 0.1, 2 + 2 + 2),
        # A slow one makes them rarer: every ten minutes, so that it takes no more than 2%.
        ([700.0, 299.0], 12.0, 2 + 1 + 2),
    ],
)
def test_two_at_each_task_s_end_and_one_every_interval(tasks, save_seconds, wanted) -> None:
    assert checkpoints_of(tasks, save_seconds) == wanted
