"""The sentences below a table of runs."""

from __future__ import annotations

from avbench.comparison import comparisons
from avbench.records import Environment
from avbench.table_notes import Notes, table_notes


def notes(*records) -> Notes:
    (found,) = comparisons(records)
    return table_notes(found, "standard")


def test_chance_is_that_of_the_gallery(make_record) -> None:
    (scores, _) = notes(make_record(gallery=400)).scores
    assert "over a gallery of 400 clips after 8 tasks" in scores
    assert "R@1 0.25, R@5 1.25, R@10 2.50" in scores


def test_marks_are_explained_where_there_are_any(make_record) -> None:
    assert notes(make_record()).marks == ()
    bound, told, copies = notes(
        make_record("z", joint=True),
        make_record("ewc", needs_boundaries=True),
        make_record(evaluates_copy=True),
    ).marks
    assert (bound[0], told[0], copies[0]) == ("‡", "†", "§")


def test_speed_on_different_machines_is_said_to_be(make_record) -> None:
    other = Environment(versions={}, hardware={"processor": "b"}, device="cpu", commit=None, dirty=None)
    (same,) = notes(make_record(seed=0), make_record(seed=1)).costs
    (different,) = notes(make_record(seed=0), make_record(seed=1, environment=other)).costs
    assert "different machines" not in same
    assert different.endswith("per second of training, measured on different machines.")
