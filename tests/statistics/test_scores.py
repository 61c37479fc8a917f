"""Which number is compared, and what it is made of."""

from __future__ import annotations

import itertools

import pytest

from avbench.forgetting import summarise
from avbench.records import DIRECTIONS, METRICS
from avbench.statistics.scores import MEASURES, SIDES, Score

SCORES = [Score(*each) for each in itertools.product(MEASURES, METRICS, SIDES)]


def test_a_score_is_read_from_its_direction_and_metric(make_record):
    levels = {"A2V": 10.0, "V2A": 20.0}
    recall = {
        way: {metric: [[level + number] * 8] * 8 for number, metric in enumerate(METRICS)}
        for way, level in levels.items()
    }
    summary = {
        way: {metric: summarise(matrix) for metric, matrix in each.items()} for way, each in recall.items()
    }
    record = make_record(recall=recall, summary=summary)
    assert Score("A", "R@1", "A2V").of(record) == 10
    assert Score("A", "mean", "V2A").of(record) == 23
    assert Score("A", "R@5", "both").of(record) == 16
    assert Score("A", "R@5", "both").of_tasks(record) == dict.fromkeys(record.tasks, 16)


def test_forgetting_has_no_score_of_the_last_task(scored):
    record = scored("er", 0, [10, 20, 30], drops=[4, 1])
    assert Score("F").of(record) == 2.5
    assert Score("F").of_tasks(record) == {"task 0": 4, "task 1": 1}
    assert (Score("A").sign, Score("F").sign) == (1, -1)


def test_one_stage_has_no_forgetting(make_record):
    record = make_record(joint=True)
    assert Score("F").of(record) is None
    assert Score("F").of_tasks(record) == {}
    assert Score("A").of(record) > 0


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.title)
def test_a_score_is_the_mean_of_its_tasks(score, measured):
    assert len(measured) > 10
    for record in measured:
        tasks = score.of_tasks(record)
        if record.finished and tasks:
            assert sum(tasks.values()) / len(tasks) == pytest.approx(score.of(record), abs=1e-9)


def test_titles_name_measure_metric_and_direction():
    assert Score("F", "R@1", "V2A").title == "forgetting F (R@1, video to audio)"
    assert len({score.title for score in SCORES}) == len(SCORES) == 2 * 4 * (len(DIRECTIONS) + 1)
