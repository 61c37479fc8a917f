"""Two methods over the seeds that both have."""

from __future__ import annotations

import pytest

from avbench.comparison import comparisons
from avbench.errors import DataError, InputError
from avbench.records import Ending
from avbench.statistics.pairwise import compare_pair, compare_pairs, corrected_together, find_entry
from avbench.statistics.scores import Score

FAILED = {"ending": Ending(how="failed", error="boom"), "summary": {}}
A = Score("A")


def only(records):
    (found,) = comparisons(records)
    return found


def two(scored):
    """Three seeds in which avcl is ahead of er by 1, 2 and 3, by as much on either task."""
    return only(
        [scored("er", seed, [10, 30]) for seed in range(3)]
        + [scored("avcl", seed, [11 + seed, 31 + seed]) for seed in range(3)]
    )


def test_a_pair_by_hand(scored):
    (pair,) = compare_pairs(two(scored), A)
    assert (pair.first.label, pair.second.label, pair.seeds) == ("avcl", "er", (0, 1, 2))
    assert pair.differences == (1, 2, 3)
    # Standard deviation 1: 4.302653 / sqrt(3) on either side of 2.
    assert (pair.difference.low, pair.difference.high) == pytest.approx(
        (2 - 2.484138, 2 + 2.484138), abs=1e-5
    )
    assert (pair.p_value, pair.corrected, pair.family) == (0.25, 0.25, 1)
    assert (pair.tasks_ahead, list(pair.tasks)) == (2, ["task 0", "task 1"])
    assert (pair.first_lacks, pair.second_lacks, pair.absence) == ({}, {}, "")


def test_the_other_way_round_is_the_mirror_image(scored):
    first, second = two(scored).entries
    one, other = compare_pair(first, second, A), compare_pair(second, first, A)
    assert other.differences == tuple(-value for value in one.differences)
    assert other.p_value == one.p_value
    assert (other.difference.low, other.difference.high) == (-one.difference.high, -one.difference.low)
    assert other.tasks_ahead == len(one.tasks) - one.tasks_ahead


def test_tasks_do_not_count_as_seeds(scored):
    """Twenty tasks, all of them ahead in three seeds: still three seeds."""
    found = only(
        [scored("er", seed, range(20)) for seed in range(3)]
        + [scored("avcl", seed, range(1, 21)) for seed in range(3)]
    )
    (pair,) = compare_pairs(found, A)
    assert (pair.tasks_ahead, pair.p_value) == (20, 0.25)


def test_less_forgetting_is_ahead(scored):
    found = only([scored("er", 0, [10, 20], drops=[5]), scored("avcl", 0, [10, 20], drops=[3])])
    (pair,) = compare_pairs(found, Score("F"))
    assert (pair.differences, pair.tasks_ahead, list(pair.tasks)) == ((-2,), 1, ["task 0"])


def test_one_common_seed_has_a_difference_but_no_test(scored):
    found = only([scored("er", 0, [10, 20]), scored("avcl", 0, [12, 22])])
    (pair,) = compare_pairs(found, A)
    assert (pair.difference.mean, pair.difference.low, pair.p_value, pair.corrected) == (2, None, None, None)
    assert pair.family == 0


def test_common_seeds_are_compared_and_lacking_ones_named(scored):
    found = only(
        [scored("er", seed, [10, 20]) for seed in (0, 1, 2)]
        + [scored("avcl", seed, [12, 22]) for seed in (1, 3)]
        + [scored("avcl", 2, [12, 22], **FAILED)]
    )
    (pair,) = compare_pairs(found, A)
    assert pair.seeds == (1,)
    assert pair.first_lacks == {0: "missing", 2: "failed"}
    assert pair.second_lacks == {3: "missing"}


def test_no_common_seed_is_no_difference(scored):
    (pair,) = compare_pairs(only([scored("er", 0, [10, 20]), scored("avcl", 1, [12, 22])]), A)
    assert (pair.difference, pair.p_value, pair.seeds, pair.tasks) == (None, None, (), {})
    assert pair.absence == "no common seed"
    assert pair.tasks_ahead == 0


def test_a_bound_is_compared_only_where_it_is_asked_for(make_record):
    found = only([make_record("er"), make_record("avcl"), make_record("all", joint=True)])
    assert [(pair.first.name, pair.second.name) for pair in compare_pairs(found, A)] == [("avcl", "er")]
    bound = find_entry(found, "all")
    pairs = compare_pairs(found, A, against=bound)
    assert [(pair.first.name, pair.second.name) for pair in pairs] == [("avcl", "all"), ("er", "all")]
    assert all(pair.difference is not None for pair in pairs)
    forgetting = compare_pairs(found, Score("F"), against=bound)
    assert {(pair.difference, pair.absence, pair.differences) for pair in forgetting} == {(None, "n/a", ())}


def test_all_pairs_are_corrected_together(scored):
    levels = {"a": 0, "b": 1, "c": 5}
    found = only(
        [
            scored(name, seed, [10 + level * (seed + 1), 20])
            for name, level in levels.items()
            for seed in range(6)
        ]
    )
    pairs = compare_pairs(found, A)
    assert [(pair.p_value, pair.corrected, pair.family) for pair in pairs] == [(2 / 64, 6 / 64, 3)] * 3
    both = corrected_together([pairs, pairs])
    assert {pair.corrected for group in both for pair in group} == {12 / 64}
    assert {pair.family for group in both for pair in group} == {6}


def test_the_order_of_records_does_not_matter(measured):
    one, other = only(measured), only(measured[::-1])
    assert compare_pairs(one, A) == compare_pairs(other, A)


def test_our_own_records(measured):
    pairs = compare_pairs(only(measured), A)
    names = {pair.first.label for pair in pairs} | {pair.second.label for pair in pairs}
    assert len(pairs) == len(names) * (len(names) - 1) / 2
    assert "multitask" not in names
    for pair in pairs:
        if pair.p_value is not None:
            assert 2 ** (1 - len(pair.seeds)) <= pair.p_value <= pair.corrected <= 1
            by_task = [each.mean for each in pair.tasks.values()]
            assert sum(by_task) / len(by_task) == pytest.approx(pair.difference.mean)
    (pair,) = [pair for pair in pairs if (pair.first.label, pair.second.label) == ("avcl", "finetune")]
    assert pair.difference.low > 0


def test_entries_are_found_by_strategy_or_label(scored):
    found = only(
        [scored("er", 0, [1, 2], options={"capacity": size}) for size in (1, 2)] + [scored("avcl", 0, [1, 2])]
    )
    assert find_entry(found, "avcl").name == "avcl"
    assert find_entry(found, "er (capacity=2)").label == "er (capacity=2)"
    with pytest.raises(
        InputError, match=r'of which none has .* name one of "er \(capacity=1\)", "er \(capacity=2\)"'
    ):
        find_entry(found, "er")
    with pytest.raises(InputError, match=r"no records of 'avcll' \(did you mean avcl\?\)"):
        find_entry(found, "avcll")


def test_of_several_configurations_the_one_at_the_defaults_is_found(scored):
    # 200 clips are the default with the tiny backbone.
    usual, fewer = (scored("er", 0, [1, 2], options={"capacity": size}) for size in (200, 50))
    assert find_entry(only([usual, fewer]), "er").label == "er (capacity=200)"
    longer = scored("er", 0, [1, 2], options={"capacity": 200}, settings={"epochs": 9})
    with pytest.raises(InputError, match="er was run in 3 configurations, of which 2 have all options at"):
        find_entry(only([usual, fewer, longer]), "er")


def test_runs_of_several_configurations_are_never_one_side(scored):
    from dataclasses import replace

    found = two(scored)
    first, second = found.entries
    mixed = replace(first, runs=(first.runs[0], scored("avcl", 1, [1, 2], options={"capacity": 3})))
    with pytest.raises(DataError, match=r"strategy_options\.capacity: not set or 3"):
        compare_pair(mixed, second, A)
