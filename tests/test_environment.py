"""Environment: versions and hardware are there, and a commit only of avbench's own tree."""

from __future__ import annotations

import subprocess
from pathlib import Path

import torch

from avbench.environment import environment, source_commit


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_environment_of_the_cpu() -> None:
    found = environment("cpu")
    assert found.versions["torch"].startswith(torch.__version__.partition("+")[0])
    assert found.hardware["processor"]
    assert int(found.hardware["cores"]) >= 1
    assert "accelerator" not in found.hardware


def test_commit_and_changes_of_a_source_tree(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    assert source_commit(package) == (None, None)
    git(tmp_path, "init")
    assert source_commit(package) == (None, None)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    assert source_commit(package) == (git(tmp_path, "rev-parse", "HEAD"), False)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "record.json").write_text("{}")
    assert source_commit(package)[1] is False
    (package / "new.py").write_text("")
    assert source_commit(package)[1] is True


def test_package_installed_within_a_foreign_repository_has_no_commit(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "theirs.txt").write_text("")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "theirs")
    package = tmp_path / "site-packages"
    package.mkdir()
    (package / "__init__.py").write_text("")
    assert source_commit(package) == (None, None)
