"""Curves of every task: all of them in sight, with the numbers of the records."""

from __future__ import annotations

import numpy as np
import pytest

from avbench.comparison import comparisons
from avbench.task_curves import forgetting_curves, modality_gap_curves


def gap_of(stage: int, task: int) -> float:
    return 0.1 + 0.1 * task + 0.01 * abs(stage - task)


@pytest.fixture
def comparison(make_record):
    # Later panels reach higher than the first.
    gaps = [[gap_of(stage, task) for task in range(8)] for stage in range(8)]
    records = [
        make_record(strategy, seed, level=20.0 + 30 * (strategy == "avcl"), modality_gap=gaps)
        for strategy in ("er", "avcl")
        for seed in range(2)
    ]
    return comparisons(records)[0]


@pytest.mark.parametrize("draw", [forgetting_curves, modality_gap_curves])
def test_every_point_is_in_sight(comparison, draw) -> None:
    figure = draw(comparison)
    assert figure is not None
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == 8
    for axes in panels:
        low, high = axes.get_ylim()
        assert low == 0
        for line in axes.get_lines():
            drawn = np.asarray(line.get_ydata(), dtype=float)
            # The grey mark of a stage goes from edge to edge.
            if len(drawn) == 8:
                assert drawn.max() <= high


def test_the_gap_is_the_record_s(comparison) -> None:
    figure = modality_gap_curves(comparison)
    assert figure is not None
    drawn = next(line for line in figure.axes[2].get_lines() if line.get_label() == "avcl")
    assert np.asarray(drawn.get_ydata()) == pytest.approx([gap_of(stage, 2) for stage in range(8)])


def test_a_method_without_stages_has_no_curves(make_record) -> None:
    only = comparisons([make_record("multitask", joint=True)])[0]
    assert forgetting_curves(only) is None
    assert modality_gap_curves(only) is None
