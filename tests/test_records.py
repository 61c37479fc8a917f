"""Records: identity, what two runs of the same share, and what a record refuses."""

from __future__ import annotations

from typing import Any

import pytest

from avbench.records import (
    DIRECTIONS,
    METRICS,
    Ending,
    Environment,
    EpochLosses,
    KindOfMemory,
    Memory,
    RunRecord,
    Summary,
    Timing,
    comparable,
    identity_of,
)

CONFIGURATION: dict[str, Any] = {
    "strategy": "er",
    "scenario": "toy-stream",
    "seed": 3,
    "backbone": "tiny",
    "device": "cpu",
    "epochs": 2,
    "strategy_options": {"capacity": 20},
    "data": None,
    "workers": 0,
}


def make_record(**changes: Any) -> RunRecord:
    """A record of two stages and two tasks with plain numbers."""
    matrix = [[50.0, 1.5], [40.0, 60.0]]
    summary = Summary(average=50.0, forgetting=10.0, forgetting_published=10.0)
    values: dict[str, Any] = {
        "scenario": "toy-stream",
        "strategy": "er",
        "seed": 3,
        "configuration": CONFIGURATION,
        "identity": identity_of(CONFIGURATION, store="a", start="b"),
        "source": "rendered",
        "store": "a",
        "start": "b",
        "needs_boundaries": False,
        "tasks": ["one", "two"],
        "stages": ["one", "two"],
        "gallery": 20,
        "queries": [10, 10],
        "recall_at_start": {d: {m: [5.0, 5.0] for m in METRICS} for d in DIRECTIONS},
        "recall": {d: dict.fromkeys(METRICS, matrix) for d in DIRECTIONS},
        "modality_gap": [[0.5, 0.5], [0.25, 0.25]],
        "summary": {d: dict.fromkeys(METRICS, summary) for d in DIRECTIONS},
        "memory": Memory(kinds=[KindOfMemory(kind="rehearsal", bytes=1000)], peak_step=5000),
        "losses": [EpochLosses(stage=0, epoch=0, losses={"loss": 1.25})],
        "ending": Ending(how="finished"),
        "environment": Environment(
            versions={"avbench": "0"}, hardware={}, device="cpu", commit=None, dirty=None
        ),
        "timing": Timing(started="2026-01-01T00:00:00Z", finished="2026-01-01T00:01:00Z"),
    }
    return RunRecord(**{**values, **changes})


def test_identity_leaves_out_seed_and_places_only() -> None:
    identity = identity_of(CONFIGURATION, store="a", start="b")
    same = {**CONFIGURATION, "seed": 4, "workers": 2, "data": "/elsewhere", "device": "cpu:0"}
    assert identity_of(same, store="a", start="b") == identity
    for other in ({"epochs": 3}, {"strategy_options": {"capacity": 21}}, {"device": "cuda:0"}):
        assert identity_of({**CONFIGURATION, **other}, store="a", start="b") != identity
    assert identity_of(CONFIGURATION, store="c", start="b") != identity
    assert identity_of(CONFIGURATION, store="a", start="c") != identity
    assert identity_of(CONFIGURATION, store="a", start="b", plugin_code={}) == identity
    assert identity_of(CONFIGURATION, store="a", start="b", plugin_code={"strategy": "d"}) != identity


def test_identity_does_not_depend_on_the_order_of_settings() -> None:
    turned = dict(reversed(CONFIGURATION.items()))
    assert identity_of(turned, store="a", start="b") == identity_of(CONFIGURATION, store="a", start="b")


def test_comparable_leaves_out_time_and_place_but_no_score() -> None:
    record = make_record()
    later = make_record(
        timing=Timing(started="2027-01-01T00:00:00Z", finished="2027-01-01T00:01:00Z", clips_per_second=9.0),
        environment=Environment(
            versions={"avbench": "1"}, hardware={"cores": "2"}, device="cpu", commit="c", dirty=True
        ),
        configuration={**CONFIGURATION, "workers": 2},
    )
    assert comparable(later) == comparable(record)
    other = make_record(modality_gap=[[0.5, 0.5], [0.25, 0.26]])
    assert comparable(other) != comparable(record)


def test_matrix_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="modality_gap is not 2 stages x 2 tasks"):
        make_record(modality_gap=[[0.5, 0.5]])


def test_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        make_record(modality_gap=[[0.5, float("nan")], [0.25, 0.25]])


def test_chance_follows_the_gallery() -> None:
    chance = make_record(gallery=800).chance
    assert chance["R@1"] == pytest.approx(0.125)
    assert chance["mean"] == pytest.approx(2 / 3)
