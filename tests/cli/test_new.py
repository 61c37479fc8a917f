"""`avbench new baseline`: files that work as they are written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import avbench
from avbench.cli import app
from avbench.errors import InputError

PYPROJECT = Path(avbench.__file__).parents[1] / "pyproject.toml"


def new(*arguments: str) -> str:
    result = CliRunner().invoke(
        app, ["new", "baseline", *arguments], env={"COLUMNS": "200"}, catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


def run(folder: Path, *command: str) -> str:
    """Run a Python module in `folder`, on one thread."""
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", *command],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def test_what_is_written_passes_everything(tmp_path: Path) -> None:
    shown = new("my-method", "--folder", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my_method.py", "test_my_method.py"]
    path = tmp_path / "my_method.py"
    for line in (
        f"avbench check {path}",
        f"pytest {tmp_path / 'test_my_method.py'}",
        f"avbench run -s my-method --plugin {path}",
    ):
        assert line in shown
    assert ", 0 failed, " in run(tmp_path, "avbench", "check", "my_method.py")
    for configuration in (["--isolated"], ["--config", str(PYPROJECT)]):
        run(tmp_path, "ruff", "check", *configuration, "--ignore", "D103", ".")
    run(tmp_path, "ruff", "format", "--check", "--config", str(PYPROJECT), ".")
    tested = run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider")
    assert "failed" not in tested
    assert "passed" in tested


def test_its_options_can_be_listed(tmp_path: Path) -> None:
    new("sparse-replay2", "--folder", str(tmp_path / "deeper"))
    path = tmp_path / "deeper" / "sparse_replay2.py"
    assert "class SparseReplay2(Method):" in path.read_text()
    result = CliRunner().invoke(
        app, ["list", "sparse-replay2", "--plugin", str(path)], env={"COLUMNS": "200"}
    )
    assert "rehearsed clips over incoming ones, 0 to 1." in result.output
    assert json.dumps("$") not in result.output


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "test_my_method.py").write_text("mine")
    with pytest.raises(InputError, match=r"test_my_method\.py exists already"):
        new("my-method", "--folder", str(tmp_path))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("er", "taken by the strategy of avbench.baselines.er"),
        ("der_pp", "taken by the strategy of avbench.baselines.der_pp"),
        ("vggsound-stream", "taken by the scenario"),
        ("torch", "would hide the Python module torch"),
        ("queue", "would hide the Python module queue"),
        ("method", "would hide avbench's own Method"),
        ("My Method", "is no name for a method"),
        ("2fast", "is no name for a method"),
        ("../up", "is no name for a method"),
        ("test-mine", "is no name for a method"),
        ("", "is no name for a method"),
    ],
)
def test_names_that_cannot_be(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=reason):
        new(name, "--folder", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_keywords_are_no_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no name for a method"):
        new("lambda", "--folder", str(tmp_path))
