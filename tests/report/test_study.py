"""What a report is about: which entries are references and which are variants."""

from __future__ import annotations

from typing import Any

import pytest

from avbench.errors import DataError
from avbench.records import Ending
from avbench.report.study import read_study


def labels(entries: Any) -> list[str]:
    return [entry.label for entry in entries]


def test_methods_at_their_defaults_are_references_and_others_variants(study: Any, run: Any) -> None:
    records = [run("er", seed) for seed in (0, 1)]
    records += [run("er", capacity=50), run("avcl"), run("avcl", selection="lpis"), run("finetune")]
    (stream,) = study(records).streams
    # Among themselves they have nothing to tell apart.
    assert labels(stream.references.entries) == ["avcl", "er", "finetune"]
    assert labels(stream.variants) == ["avcl (selection=lpis)", "er (memory=50)"]
    assert len(stream.records) == len(records)


def test_a_method_never_run_at_its_defaults_is_not_left_out(study: Any, run: Any) -> None:
    (stream,) = study([run("er", capacity=50), run("er", capacity=100), run("finetune")]).streams
    assert labels(stream.references.entries) == ["er (memory=100)", "er (memory=50)", "finetune"]
    assert not stream.variants


def test_methods_that_are_not_built_in_are_references(study: Any, run: Any) -> None:
    mine = run("mine", plugin_code={"strategy": "0123"})
    (stream,) = study([mine, run("er")]).streams
    assert labels(stream.references.entries) == ["er", "mine"]


def test_a_failed_run_at_the_defaults_keeps_its_place(study: Any, run: Any) -> None:
    failed = run("er", ending=Ending(how="failed", error="boom"), summary={})
    (stream,) = study([failed, run("er", capacity=50), run("avcl")]).streams
    assert labels(stream.references.entries) == ["avcl", "er"]
    assert dict(stream.references.entries[1].unfinished) == {0: "failed"}


def test_the_papers_streams_come_first(study: Any, run: Any) -> None:
    scenarios = ["another-stream", "audioset-stream", "vggsound-stream"]
    found = study([run(scenario=name) for name in scenarios]).streams
    assert [stream.everything.scenario for stream in found] == [
        "vggsound-stream", "audioset-stream", "another-stream",
    ]  # fmt: skip


def test_every_record_has_its_path(study: Any, run: Any) -> None:
    found = study([run("er", 0), run("er", 1)])
    assert [found.path_of(record) for record in found.records] == list(found.paths)
    assert all((found.folder / path).is_file() for path in found.paths)
    (stream,) = found.streams
    assert found.paths_of(stream.references.entries) == found.paths


def test_a_folder_without_records_is_an_error(tmp_path: Any) -> None:
    with pytest.raises(DataError, match="avbench run"):
        read_study(tmp_path)
