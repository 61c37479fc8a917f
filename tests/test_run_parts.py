"""What a run is put together from, and what of its record is known before it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from avbench import processes
from avbench.configuration import Layer
from avbench.errors import InputError
from avbench.resolving import resolve
from avbench.run_parts import RunParts, prepare_run


def prepared(settings, **changes) -> RunParts:
    return prepare_run(resolve([Layer("test", {**settings, **changes})]), Console(file=io.StringIO()))


def test_the_record_is_known_as_far_as_it_can_be(tiny_stream) -> None:
    parts = prepared(tiny_stream, strategy="er", memory=6)
    assert [each.task_name for each in parts.stream.experiences] == ["first", "second"]
    assert parts.header["tasks"] == ["first", "second"]
    assert (parts.header["gallery"], parts.header["queries"]) == (10, [4, 4])
    assert parts.header["identity"] == parts.plan.identity
    assert parts.header["configuration"]["strategy_options"] == {"capacity": 6}
    assert parts.header["needs_boundaries"] is False


def test_a_method_that_trains_on_all_at_once_has_one_experience_of_all_tasks(tiny_stream) -> None:
    parts = prepared(tiny_stream, strategy="multitask")
    assert len(parts.stream.experiences) == 1
    assert parts.header["tasks"] == ["first", "second"]


def test_several_processes_make_no_run_of_a_method_that_is_for_one(
    tiny_stream, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr(processes, "count", lambda: 2)
    theirs = tmp_path / "theirs.py"
    theirs.write_text(
        "from avbench.method import Method\n\nclass Theirs(Method):\n"
        '    """Do nothing."""\n\n    paper = "none"\n'
    )
    with pytest.raises(InputError, match="theirs is not made for several processes"):
        prepared(tiny_stream, strategy="theirs", plugins=[*tiny_stream["plugins"], str(theirs)])


def test_another_plugin_of_the_same_name_is_another_run(go, tiny_stream, tmp_path) -> None:
    runs = []
    for version in ("a", "b"):
        path = tmp_path / version / "mine.py"
        path.parent.mkdir()
        path.write_text(
            "from avbench.method import Method\n\nclass Mine(Method):\n"
            f'    """Do nothing, version {version}."""\n\n    paper = "none"\n'
        )
        runs.append(go("mine", plugins=[*tiny_stream["plugins"], str(path)]))
    assert not runs[1].repeated
    assert runs[0].record.identity != runs[1].record.identity
    assert set(runs[0].record.plugin_code) == {"strategy", "scenario"}
