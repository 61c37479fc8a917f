"""Which records meet in a table, which are averaged, and how rows are named."""

from __future__ import annotations

import pytest

from avbench.comparison import comparisons
from avbench.errors import DataError
from avbench.records import Ending

FAILED = {"ending": Ending(how="failed", error="boom"), "summary": {}}


def test_rendered_and_real_clips_never_meet(make_record):
    found = comparisons([make_record(), make_record(source="vggsound"), make_record("avcl")])
    assert [(each.source, len(each.entries)) for each in found] == [("rendered", 2), ("vggsound", 1)]
    assert "rendered" in found[0].title
    assert "rendered" not in found[1].title


def test_other_stores_and_backbones_never_meet(make_record):
    found = comparisons(
        [
            make_record(),
            make_record(store="another"),
            make_record(settings={"backbone": "base"}),
            make_record(gallery=900),
        ]
    )
    assert len(found) == 4
    assert len({each.stem for each in found}) == 4


def test_seeds_of_one_identity_are_one_entry(make_record):
    (found,) = comparisons([make_record(seed=seed) for seed in (2, 0, 1)])
    (entry,) = found.entries
    assert [run.seed for run in entry.runs] == [0, 1, 2]
    assert entry.label == "er"


def test_a_strategy_in_two_configurations_is_two_entries_that_say_how_they_differ(make_record):
    (found,) = comparisons(
        [make_record(options={"capacity": size}, seed=seed) for size in (100, 200) for seed in (0, 1)]
        + [make_record("finetune")]
    )
    assert [entry.label for entry in found.entries] == ["er (capacity=100)", "er (capacity=200)", "finetune"]
    assert [len(entry.runs) for entry in found.entries] == [2, 2, 1]


def test_training_that_differs_from_the_others_is_named(make_record):
    (found,) = comparisons(
        [make_record("er"), make_record("finetune"), make_record("avcl", settings={"epochs": 9})]
    )
    assert [entry.label for entry in found.entries] == ["avcl (epochs=9)", "er", "finetune"]
    (found,) = comparisons([make_record("er"), make_record("avcl", settings={"epochs": 9})])
    assert [entry.label for entry in found.entries] == ["avcl (epochs=9)", "er (epochs=4)"]


def test_places_and_speed_are_not_named(make_record):
    (found,) = comparisons([make_record("er", settings={"workers": 3, "data": "/x"}), make_record("avcl")])
    assert [entry.label for entry in found.entries] == ["avcl", "er"]


def test_missing_and_failed_seeds_are_listed(make_record):
    (found,) = comparisons(
        [make_record("er", seed) for seed in (0, 1, 2)]
        + [make_record("avcl", 0), make_record("avcl", 1, **FAILED), make_record("der-pp", 1, **FAILED)]
    )
    avcl, der_pp, er = found.entries
    assert (len(avcl.runs), avcl.missing, avcl.unfinished) == (1, (2,), {1: "failed"})
    assert (len(der_pp.runs), der_pp.missing, der_pp.unfinished) == (0, (0, 2), {1: "failed"})
    assert (len(er.runs), er.missing, er.unfinished) == (3, (), {})


def test_joint_entries_come_last(make_record):
    (found,) = comparisons([make_record("all-at-once", joint=True), make_record("er")])
    assert [(entry.name, entry.joint) for entry in found.entries] == [("er", False), ("all-at-once", True)]


def test_the_same_run_twice_is_an_error(make_record):
    with pytest.raises(DataError, match="er with seed 0 has two records"):
        comparisons([make_record(), make_record()])


def test_no_records_is_an_error():
    with pytest.raises(DataError, match="avbench run"):
        comparisons([])


def test_two_rows_never_have_one_name(make_record):
    # 1 and 1.0 are equal and written alike, but another identity; a third configuration has another capacity.
    (found,) = comparisons(
        [make_record(options={"capacity": 100, "alpha": alpha}) for alpha in (1, 1.0)]
        + [make_record(options={"capacity": 200, "alpha": 1})]
    )
    labels = [entry.label for entry in found.entries]
    assert len(set(labels)) == 3
    assert "er (capacity=200)" in labels
    for entry in found.entries:
        if "capacity=100" in entry.label:
            assert entry.identity in entry.label


def test_comparisons_of_other_tasks_or_galleries_have_names_of_their_own(make_record):
    tasks = make_record().tasks
    found = comparisons([make_record(), make_record(tasks=tasks[::-1]), make_record(gallery=900)])
    assert len({each.stem for each in found}) == len({each.title for each in found}) == 3
    assert any(", ".join(tasks[::-1]) in each.title for each in found)
