"""What may be averaged, and what is said where it may not."""

from __future__ import annotations

import pytest

from avbench.errors import DataError
from avbench.records import Ending, identity_of
from avbench.statistics.averages import average, differences, need_seeds_of_one_run


def read(record):
    return record.summary["A2V"]["mean"].average


def test_seeds_of_one_run_are_averaged(scored):
    found = average([scored("er", seed, [level, level]) for seed, level in enumerate((1, 2, 6))], read)
    assert (found.mean, found.count) == (3.0, 3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"options": {"capacity": 500}}, "strategy_options.capacity: 200 or 500"),
        ({"options": {}}, "strategy_options.capacity: 200 or not set"),
        ({"settings": {"epochs": 9}}, "epochs: 4 or 9"),
        ({"settings": {"backbone": "base"}}, "backbone: 'tiny' or 'base'"),
    ],
)
def test_other_settings_are_refused_by_name(make_record, changes, said):
    runs = [make_record(seed=0, options={"capacity": 200})]
    runs.append(make_record(seed=1, **({"options": {"capacity": 200}} | changes)))
    with pytest.raises(DataError, match="differ in more than the seed") as refused:
        average(runs, read)
    assert said in str(refused.value)
    assert str(refused.value).count(" or ") == 1


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("store", "another", "clips: 'rendered' or 'another'"),
        ("start", "0123456789abcdee", "start: '0123456789abcdef' or '0123456789abcdee'"),
        ("plugin_code", {"strategy": "abc"}, "strategy code: not set or 'abc'"),
        ("source", "vggsound", "source: 'rendered' or 'vggsound'"),
    ],
)
def test_other_clips_starts_and_code_are_refused_by_name(make_record, field, value, said):
    first = make_record(seed=0)
    named = {"store": first.store, "start": first.start, "plugin_code": {}} | {field: value}
    identity = identity_of(
        first.configuration, store=named["store"], start=named["start"], plugin_code=named["plugin_code"]
    )
    other = make_record(seed=1, **{field: value}, identity="0" * 12 if field == "source" else identity)
    with pytest.raises(DataError, match="differ in more than the seed") as refused:
        need_seeds_of_one_run([first, other])
    assert said in str(refused.value)


def test_another_method_is_refused(make_record):
    with pytest.raises(DataError, match=r"er with seed 0, avcl with seed 1 .*strategy: 'er' or 'avcl'"):
        average([make_record("er", 0), make_record("avcl", 1)], read)


def test_identities_that_no_setting_tells_apart_are_refused(make_record):
    with pytest.raises(DataError, match=r"identity: .* or 000000000000"):
        average([make_record(seed=0), make_record(seed=1, identity="0" * 12)], read)


def test_places_speed_and_seed_make_no_difference(make_record):
    runs = [make_record(seed=0), make_record(seed=1, settings={"workers": 3, "threads": 7, "data": "/x"})]
    assert differences(runs) == []
    assert average(runs, read).count == 2


def test_a_run_counts_once_and_only_if_it_finished(make_record):
    with pytest.raises(DataError, match="er with seed 1 is there twice"):
        average([make_record(seed=1), make_record(seed=1)], read)
    failed = make_record(seed=1, ending=Ending(how="failed", error="boom"), summary={})
    with pytest.raises(DataError, match="er with seed 1 failed"):
        average([make_record(seed=0), failed], read)
    with pytest.raises(DataError, match="no finished run"):
        average([], read)
