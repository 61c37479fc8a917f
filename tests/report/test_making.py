"""A report as a folder: what is in it, what it replaces, and what goes wrong."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from avbench.errors import DataError, InputError
from avbench.report import making
from avbench.report.making import make_report


@pytest.fixture
def folder(results: Any, run: Any) -> Path:
    made: Path = results([run("er", 0), run("avcl", 0)])
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_figures_are_drawn(results: Any, run: Any, tmp_path: Path) -> None:
    written = make_report(results([run("finetune")]), tmp_path / "report")
    first = contents(tmp_path / "report")
    assert sorted(written) == sorted(tmp_path / "report" / name for name in first)
    assert {name.partition("/")[0] for name in first} == {"figures", "tables", "main.tex", "index.html"}
    pictures = [content for name, content in first.items() if name.endswith(".pdf")]
    assert len(pictures) == 6
    assert all(content.startswith(b"%PDF") and len(content) > 2000 for content in pictures)


@pytest.mark.usefixtures("undrawn")
def test_every_table_is_latex_and_csv(folder: Path, tmp_path: Path) -> None:
    make_report(folder, tmp_path / "report")
    names = [path.name for path in (tmp_path / "report" / "tables").iterdir()]
    stems = {name.rpartition(".")[0] for name in names}
    assert set(names) == {f"{stem}{suffix}" for stem in stems for suffix in (".tex", ".csv")}
    table = (tmp_path / "report" / "tables" / "vggsound-stream-rendered-tiny-main.csv").read_text()
    assert table.splitlines()[0].startswith("block,Method,Seeds,R@1 A,")


@pytest.mark.usefixtures("undrawn")
def test_a_report_is_replaced_as_a_whole(folder: Path, results: Any, run: Any, tmp_path: Path) -> None:
    out = tmp_path / "report"
    make_report(folder, out)
    before = contents(out)
    (out / "tables" / "stale.tex").touch()
    make_report(folder, out)
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir() if "report" in path.name] == ["report"]


def test_what_is_no_report_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(InputError, match="other things"):
        make_report(folder, tmp_path / "mine")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        make_report(folder, tmp_path / "file")
    assert (tmp_path / "mine" / "thesis.tex").exists()


@pytest.mark.usefixtures("undrawn")
def test_a_full_disk_leaves_the_earlier_report(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report"
    make_report(folder, out)
    before = contents(out)
    with_page = making.write_text

    def full(path: Path, text: str, what: str) -> None:
        if path.name == "index.html":
            error = OSError(errno.ENOSPC, "No space left on device")
            raise DataError(f"{what} {path} could not be written: {error.strerror}") from error
        with_page(path, text, what)

    monkeypatch.setattr(making, "write_text", full)
    with pytest.raises(DataError, match="No space left"):
        make_report(folder, out)
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir() if "report" in path.name] == ["report"]


@pytest.mark.usefixtures("undrawn")
def test_a_folder_that_cannot_be_made_is_one_message(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="could not be written"):
        make_report(folder, tmp_path / "file" / "report")


@pytest.mark.usefixtures("undrawn")
def test_an_empty_folder_that_one_is_in_becomes_the_report(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    make_report(folder, Path())
    assert (tmp_path / "here" / "index.html").is_file()


def test_a_folder_that_cannot_be_read_is_one_message(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()

    def closed(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(DataError, match="Permission denied"):
        make_report(folder, tmp_path / "closed")


def test_a_damaged_record_is_named(folder: Path, tmp_path: Path) -> None:
    path = next((folder / "runs").rglob("*.json"))
    path.write_text(path.read_text()[:100])
    with pytest.raises(DataError, match=path.name):
        make_report(folder, tmp_path / "report")
    assert not (tmp_path / "report").exists()
