"""The published figures: all there, and consistent with one another."""

from __future__ import annotations

import pytest

from avbench.errors import DataError
from avbench.published import PUBLISHED_NAMES, published_costs, published_scores


def test_means_are_those_of_the_three_recalls():
    scores = {
        (each.stream, each.method, each.direction, each.metric): each.percent
        for each in published_scores()
        if each.measure == "A"
    }
    assert len(scores) == 2 * 11 * 2 * 4
    for (stream, method, direction, metric), value in scores.items():
        if metric == "mean":
            recalls = [scores[stream, method, direction, each] for each in ("R@1", "R@5", "R@10")]
            assert sum(recalls) / 3 == pytest.approx(value, abs=0.011)


def test_the_figure_that_the_page_gives_twice_is_the_tables():
    (found,) = [
        each.percent
        for each in published_scores()
        if (each.stream, each.method, each.direction, each.metric, each.measure)
        == ("vggsound-stream", "STELLA+", "V2A", "mean", "A")
    ]
    assert found == 15.53


def test_the_headline_saving_of_memory():
    costs = published_costs()
    # About 45% less than ER and DER++, for STELLA+.
    assert costs["ER"].gigabytes == costs["DER++"].gigabytes == 30.95
    assert 1 - costs["STELLA+"].gigabytes / costs["ER"].gigabytes == pytest.approx(0.45, abs=0.005)
    assert costs["STELLA++"].batch_size == 15
    assert costs["STELLA++"].clips_per_second is None


def test_multitask_has_no_forgetting():
    assert not [each for each in published_scores() if (each.method, each.measure) == ("Multitask", "F")]


def test_names_are_those_of_the_figures():
    assert set(PUBLISHED_NAMES.values()) == {each.method for each in published_scores()}


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="git checkout"):
        published_costs(tmp_path)
