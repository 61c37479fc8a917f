"""Methods in their order, seed by seed."""

from __future__ import annotations

import pytest

from avbench.comparison import comparisons
from avbench.records import Ending
from avbench.statistics.ranks import rank_entries
from avbench.statistics.scores import Score

A = Score("A")


def ranks(records, score=A):
    (found,) = comparisons(records)
    return rank_entries(found, score)


def field(scored, levels, **changes):
    """A run of two tasks for each method and seed, with this mean."""
    return [
        scored(name, seed, [level, level], **changes)
        for name, of_seeds in levels.items()
        for seed, level in enumerate(of_seeds)
    ]


def test_ranks_by_hand(scored):
    found = ranks(field(scored, {"a": (1, 5, 1), "b": (2, 2, 2), "c": (3, 3, 3)}))
    assert [each.entry.name for each in found] == ["c", "a", "b"]
    assert [each.ranks for each in found] == [(1, 2, 1), (3, 1, 3), (2, 3, 2)]
    assert [each.mean_rank for each in found] == pytest.approx([4 / 3, 7 / 3, 7 / 3])
    bounds = [(each.low, each.high, each.confidence) for each in found]
    assert bounds == [(1, 2, 0.75), (1, 3, 0.75), (2, 3, 0.75)]
    assert found[0].score.mean == 3
    assert {each.seeds for each in found} == {(0, 1, 2)}


def test_of_equal_mean_ranks_the_better_score_comes_first(scored):
    found = ranks(field(scored, {"a": (1, 9), "b": (2, 2)}))
    assert [(each.entry.name, each.mean_rank) for each in found] == [("a", 1.5), ("b", 1.5)]


def test_equals_share_the_mean_of_their_ranks(scored):
    found = ranks(field(scored, {"a": (0.1 + 0.2,), "b": (0.3,), "c": (0.1,)}))
    assert [each.ranks for each in found] == [(1.5,), (1.5,), (3,)]
    assert found[0].confidence == 0


def test_less_forgetting_ranks_first(scored):
    found = ranks([scored("a", 0, [9, 9], drops=[3]), scored("b", 0, [5, 5], drops=[1])], Score("F"))
    assert [each.entry.name for each in found] == ["b", "a"]


def test_many_seeds_leave_out_single_seeds(scored):
    # Of 9 seeds b wins one: the median rank is 1 for a.
    found = ranks(field(scored, {"a": (5,) * 9, "b": (1,) * 8 + (9,)}))
    assert [(each.entry.name, each.low, each.high) for each in found] == [("a", 1, 1), ("b", 2, 2)]
    assert found[0].confidence > 0.95


def test_methods_that_lack_seeds_are_listed_last_and_not_ranked(scored):
    failed = scored("d", 1, [9, 9], ending=Ending(how="failed", error="x"), summary={})
    found = ranks([*field(scored, {"a": (1, 1, 1), "b": (2, 2, 2), "c": (9,), "d": (9,)}), failed])
    assert [(each.entry.name, each.mean_rank) for each in found] == [
        ("b", 1),
        ("a", 2),
        ("c", None),
        ("d", None),
    ]
    assert [each.lacks for each in found[2:]] == [{1: "missing", 2: "missing"}, {1: "failed", 2: "missing"}]
    assert found[2].score is None


def test_one_method_with_more_seeds_does_not_leave_the_others_out(scored):
    found = ranks(field(scored, {"a": (1, 1, 1, 1, 1), "b": (2, 2), "c": (3, 3)}))
    assert {each.seeds for each in found} == {(0, 1)}
    assert [each.entry.name for each in found if each.mean_rank is not None] == ["c", "b", "a"]
    # Over the seeds that are ranked, not all that a has.
    assert found[-1].score.count == 2


def test_bounds_do_not_appear(make_record):
    found = ranks([make_record("er"), make_record("avcl"), make_record("all", joint=True)])
    assert {each.entry.name for each in found} == {"er", "avcl"}


def test_a_score_that_is_not_defined_has_no_rank(make_record):
    tasks = ["sports"]
    alone = {"tasks": tasks, "stages": tasks, "queries": [100], "modality_gap": [[0.5]]}
    record = make_record("er")
    recall = {way: {metric: [[5.0]] for metric in each} for way, each in record.recall.items()}
    summary = {
        way: {
            metric: value.model_copy(update={"forgetting": None, "forgetting_published": None})
            for metric, value in each.items()
        }
        for way, each in record.summary.items()
    }
    (found,) = ranks([make_record("er", recall=recall, summary=summary, **alone)], Score("F"))
    assert (found.score, found.mean_rank, found.lacks) == (None, None, {})


def test_nothing_finished_is_not_ranked(make_record):
    (found,) = ranks([make_record(ending=Ending(how="failed", error="x"), summary={})])
    assert (found.mean_rank, found.seeds, found.score) == (None, (), None)


def test_our_own_records_in_any_order(measured):
    found = ranks(measured)
    assert found == ranks(measured[::-1])
    ranked = [each for each in found if each.mean_rank is not None]
    # In each seed the ranks are those of so many methods.
    for of_seed in zip(*(each.ranks for each in ranked), strict=True):
        assert sum(of_seed) == len(ranked) * (len(ranked) + 1) / 2
    assert [each.mean_rank for each in ranked] == sorted(each.mean_rank for each in ranked)
    # What rehearses is above what does not, in every seed.
    by_name = {each.entry.name: each for each in ranked}
    assert max(by_name["er"].ranks) < min(by_name["finetune"].ranks)
