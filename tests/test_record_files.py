"""Files of records: where they lie, atomic writing, refusal of damaged ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avbench.errors import DataError
from avbench.record_files import read_record, read_records, record_path, to_json, write_record
from avbench.records import Ending


def test_record_survives_writing_and_reading(tmp_path: Path, make_record) -> None:
    record = make_record()
    path = record_path(tmp_path, record.configuration, source=record.source, identity=record.identity)
    write_record(record, path)
    assert path.parent == tmp_path / "runs" / "vggsound-stream" / "er"
    assert path.name == f"rendered-tiny-{record.identity}-seed0.json"
    assert read_record(path) == record
    assert read_records(tmp_path) == [record]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_json_has_one_line_a_row(make_record) -> None:
    text = to_json(make_record())
    assert "[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]" in text
    assert json.loads(text)["modality_gap"] == [[0.5] * 8] * 8


def test_json_keeps_texts_with_brackets_and_spaces(make_record) -> None:
    record = make_record(ending=Ending(how="failed", error="File [ 1,\n   2 ] broke"), summary={})
    assert json.loads(to_json(record))["ending"]["error"] == "File [ 1,\n   2 ] broke"


def test_failed_write_leaves_the_old_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_record
) -> None:
    path = tmp_path / "record.json"
    write_record(make_record(), path)
    before = path.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("avbench.files.os.fsync", full_disk)
    with pytest.raises(DataError, match=r"record\.json could not be written: No space left"):
        write_record(make_record(seed=1), path)
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


def test_record_of_another_layout_is_refused(tmp_path: Path, make_record) -> None:
    path = tmp_path / "record.json"
    path.write_text(to_json(make_record()).replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(DataError, match="schema_version"):
        read_record(path)


def test_unknown_scenario_names_the_nearest(tmp_path: Path, make_record) -> None:
    record = make_record()
    write_record(record, record_path(tmp_path, record.configuration, source="rendered", identity="i"))
    assert read_records(tmp_path, scenario="vggsound-stream") == [record]
    with pytest.raises(DataError, match="did you mean vggsound-stream"):
        read_records(tmp_path, scenario="vggsound-strem")


def test_empty_results_have_no_records(tmp_path: Path) -> None:
    assert read_records(tmp_path) == []
    assert read_records(tmp_path, scenario="vggsound-stream") == []
