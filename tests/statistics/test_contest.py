"""All methods against one another, and the words about it."""

from __future__ import annotations

import pytest

from avbench.comparison import comparisons
from avbench.errors import InputError
from avbench.statistics.contest import contest_notes, contests, what_seeds_show
from avbench.statistics.pairwise import compare_pairs
from avbench.statistics.scores import Score

A = Score("A")


def grid(scored, methods, seeds, **changes):
    """Runs of so many methods and seeds, each method ahead of the one before in every seed."""
    return [
        scored(f"m{method}", seed, [10 + method * (1 + seed / 10), 20], **changes)
        for method in range(methods)
        for seed in range(seeds)
    ]


def words(records, score=A):
    return " ".join(note for found in contests(comparisons(records), score) for note in contest_notes(found))


@pytest.mark.parametrize(("seeds", "least"), [(2, "0.5"), (3, "0.25"), (5, "0.0625")])
def test_few_seeds_are_told_that_they_cannot(scored, seeds, least):
    said = words(grid(scored, 2, seeds))
    assert f"{seeds} seeds cannot reach p < {least} in a paired sign-flip test" in said
    assert "To get below 0.05 takes 6 seeds for a single comparison." in said


def test_what_many_comparisons_cost_is_said(scored):
    said = words(grid(scored, 4, 6))
    assert (
        "6 seeds can reach p = 0.031 in a paired sign-flip test, and 0.19 after the correction for 6." in said
    )
    assert "takes 6 seeds for a single comparison, 8 for the clearest of 6." in said


def test_an_interval_is_no_evidence_where_p_cannot_be(scored):
    # Ahead by 1, 1.1 and 1.2 on one of two tasks: the interval leaves out 0, three seeds cannot.
    assert "a hint, not evidence" in words(grid(scored, 2, 3))
    assert "a hint, not evidence" not in words(grid(scored, 2, 6))


def test_one_seed_is_told_that_it_says_nothing(scored):
    said = words(grid(scored, 2, 1))
    assert "neither interval nor test" in said
    assert "One seed says nothing of how sure an order is" in said
    assert "sign-flip test of the mean" in said
    assert "seeds cannot reach" not in said


def test_the_range_of_ranks_says_how_sure_it_is(scored):
    assert "with 75% confidence, as much as so few seeds give; 6 give 95%" in words(grid(scored, 2, 3))
    assert "with 96.9% confidence." in words(grid(scored, 2, 6))


def test_one_method_has_nothing_to_be_compared_with(scored):
    (found,) = contests(comparisons(grid(scored, 1, 2)), A)
    assert found.pairs == ()
    assert "There is one method only: nothing to compare." in contest_notes(found)


def test_rendered_clips_and_less_that_is_better_are_said(scored):
    assert words(grid(scored, 2, 2)).startswith("The clips are rendered")
    assert "rendered" not in words(grid(scored, 2, 2, source="vggsound"))
    assert "below 0 where the first is better" in words(grid(scored, 2, 2), Score("F"))


def test_bounds_and_unranked_methods_are_explained(make_record):
    records = [make_record("er", seed) for seed in (0, 1)] + [make_record("avcl", seed) for seed in (0, 1)]
    plain = words(records)
    assert "a bound" not in plain
    assert "are not ranked" not in plain
    said = words([*records, make_record("mir", 0), make_record("all", joint=True)])
    assert "trains on all tasks at once is a bound" in said
    assert "Methods that lack one of these seeds are not ranked." in said


def test_estimated_p_values_are_said_to_be_estimated(scored):
    assert "exact up to 20 seeds, and estimated" in words(grid(scored, 2, 21))
    assert "estimated" not in words(grid(scored, 2, 20))


def test_several_streams_are_corrected_together(scored):
    records = grid(scored, 3, 6) + [
        run.model_copy(update={"scenario": "audioset-stream"}) for run in grid(scored, 2, 6)
    ]
    found = contests(comparisons(records), A)
    assert [len(each.pairs) for each in found] == [1, 3]
    assert {pair.family for each in found for pair in each.pairs} == {4}
    assert {pair.corrected for each in found for pair in each.pairs} == {4 * 2 / 64}


def test_all_are_compared_with_the_one_named(scored):
    (found,) = contests(comparisons(grid(scored, 4, 2)), A, against="m2")
    assert [(pair.first.label, pair.second.label) for pair in found.pairs] == [
        ("m0", "m2"), ("m1", "m2"), ("m3", "m2"),
    ]  # fmt: skip
    # The order is of all methods all the same.
    assert [each.entry.label for each in found.ranked] == ["m3", "m2", "m1", "m0"]
    with pytest.raises(InputError, match="no records of 'm9'"):
        contests(comparisons(grid(scored, 4, 2)), A, against="m9")


def test_which_of_several_configurations_is_taken_is_said(scored):
    records = [
        scored(name, seed, [10 + seed, 20], options={"capacity": size})
        for name, size in (("er", 200), ("er", 50), ("er", 10), ("avcl", 200))
        for seed in range(2)
    ]
    (found,) = contests(comparisons(records), A, against="er")
    assert {pair.second.label for pair in found.pairs} == {"er (capacity=200)"}
    assert len(found.pairs) == 3
    said = contest_notes(found)
    assert (
        'er was run in 3 configurations: compared with "er (capacity=200)", which has all options at the '
        'method\'s defaults; the others are "er (capacity=10)", "er (capacity=50)".' in said
    )
    # Nothing was chosen where one is named in full, or is the only one.
    for name in ("er (capacity=50)", "avcl"):
        (found,) = contests(comparisons(records), A, against=name)
        assert not found.chosen


def test_no_pairs_leave_nothing_to_say(scored):
    assert what_seeds_show([]) == []
    (found,) = comparisons([*grid(scored, 1, 1), scored("other", 1, [1, 2])])
    assert what_seeds_show(compare_pairs(found, A)) == []
