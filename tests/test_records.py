"""Records: identity, layout on disk, atomic writing, refusal of damaged files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from avbench.errors import DataError
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
    read_record,
    read_records,
    record_path,
    to_json,
    write_record,
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


def test_record_survives_writing_and_reading(tmp_path: Path) -> None:
    record = make_record()
    path = record_path(tmp_path, record.configuration, source=record.source, identity=record.identity)
    write_record(record, path)
    assert path.parent == tmp_path / "runs" / "toy-stream" / "er"
    assert path.name == f"rendered-tiny-{record.identity}-seed3.json"
    assert read_record(path) == record
    assert read_records(tmp_path) == [record]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_json_has_one_line_a_row() -> None:
    text = to_json(make_record())
    assert "[50.0, 1.5]" in text
    assert json.loads(text)["recall"]["A2V"]["R@1"] == [[50.0, 1.5], [40.0, 60.0]]


def test_json_keeps_texts_with_brackets_and_spaces() -> None:
    record = make_record(ending=Ending(how="failed", error="File [ 1,\n   2 ] broke"), summary={})
    assert json.loads(to_json(record))["ending"]["error"] == "File [ 1,\n   2 ] broke"


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


def test_failed_write_leaves_the_old_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    write_record(make_record(), path)
    before = path.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("avbench.files.os.fsync", full_disk)
    with pytest.raises(DataError, match=r"record\.json could not be written: No space left"):
        write_record(make_record(seed=4), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"a": 1}', b"[]", b"\xff\xfe\x00", b"null"],
    ids=["empty", "cut", "foreign", "list", "binary", "null"],
)
def test_damaged_or_foreign_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "runs" / "toy-stream" / "er" / "broken.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.json is not a run record"):
        read_records(tmp_path)


def test_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.json cannot be read"):
        read_record(tmp_path / "gone.json")


def test_record_of_another_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(to_json(make_record()).replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(DataError, match="schema_version"):
        read_record(path)


def test_matrix_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="modality_gap is not 2 stages x 2 tasks"):
        make_record(modality_gap=[[0.5, 0.5]])


def test_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        make_record(modality_gap=[[0.5, float("nan")], [0.25, 0.25]])


def test_unknown_scenario_names_the_nearest(tmp_path: Path) -> None:
    record = make_record()
    write_record(record, record_path(tmp_path, record.configuration, source="rendered", identity="i"))
    assert read_records(tmp_path, scenario="toy-stream") == [record]
    with pytest.raises(DataError, match="did you mean toy-stream"):
        read_records(tmp_path, scenario="toy-strem")


def test_empty_results_have_no_records(tmp_path: Path) -> None:
    assert read_records(tmp_path) == []
    assert read_records(tmp_path, scenario="toy-stream") == []


def test_chance_follows_the_gallery() -> None:
    chance = make_record(gallery=800).chance
    assert chance["R@1"] == pytest.approx(0.125)
    assert chance["mean"] == pytest.approx(2 / 3)
