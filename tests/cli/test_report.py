"""`avbench report` as a shell calls it: exit codes and messages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from avbench import cli
from avbench.record_files import record_path, write_record
from avbench.report import making


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`call(*words)` is `avbench report ...`: exit code, output, errors."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["avbench", "report", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return run


def test_a_report_is_made_beside_the_runs(
    call: Any, make_record: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Drawing takes most of the time; tests/report/test_making.py draws.
    monkeypatch.setattr(making, "drawn", lambda figure, form, **_: form.encode())
    record = make_record("finetune")
    path = record_path(tmp_path, record.configuration, source=record.source, identity=record.identity)
    write_record(record, path)
    code, out, errors = call(tmp_path)
    assert (code, errors) == (0, "")
    assert str(tmp_path / "report" / "index.html") in out.replace("\n", "")
    assert (tmp_path / "report" / "index.html").stat().st_size > 10_000


def test_no_folder_and_no_records(call: Any, tmp_path: Path) -> None:
    code, _, errors = call(tmp_path / "nowhere")
    assert code == 2
    assert "there is no folder of results" in errors
    code, _, errors = call(tmp_path)
    assert code == 1
    assert "make some with avbench run" in errors
    assert not list(tmp_path.iterdir())


def test_a_damaged_record(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "vggsound-stream" / "er" / "damaged.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    code, _, errors = call(tmp_path)
    assert code == 1
    assert "damaged.json" in errors
    assert "Traceback" not in errors
