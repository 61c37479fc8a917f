"""A package of someone else: installed, listed, used, and tested with the checks that avbench offers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent / "example_plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the example is installed, and a broken package and one that clashes beside it."""
    folder = tmp_path_factory.mktemp("site")
    # Built from a copy: building leaves files beside the source.
    source = tmp_path_factory.mktemp("source") / "example"
    shutil.copytree(EXAMPLE, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--target", str(folder), str(source)], check=True
    )
    return folder


def add_distribution(site: Path, name: str, points: str, **modules: str) -> None:
    """Install a package of modules as its metadata stands on the disk."""
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    for module, source in modules.items():
        (site / f"{module}.py").write_text(source)


def call(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the folder on its path."""
    environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=environment, cwd=site, capture_output=True, text=True, check=False, timeout=900
    )


def avbench(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return call(site, "-m", "avbench", *arguments)


def test_its_plugins_are_listed_with_their_distribution(site: Path) -> None:
    shown = avbench(site, "list")
    assert shown.returncode == 0, shown.stderr
    for part in (
        "gentle",
        "with gradients that are at most so long.",
        "From: avbench-example-plugin 0.3.0 (avbench_example.gentle:Gentle)",
        "pets",
        "Dogs first, cats then.",
        "From: avbench-example-plugin 0.3.0 (avbench_example.pets)",
    ):
        assert part in shown.stdout
    options = avbench(site, "list", "gentle").stdout
    assert "greatest length of the gradient" in options
    assert "float; default: 1.0" in options


def test_its_class_by_name_is_the_same_plugin(site: Path) -> None:
    shown = avbench(site, "list", "gentle", "--plugin", "avbench_example.gentle:Gentle")
    assert shown.returncode == 0, shown.stderr
    assert "avbench-example-plugin 0.3.0" in shown.stdout


def test_its_own_tests_pass(site: Path) -> None:
    result = call(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout


def test_broken_and_clashing_packages_leave_the_others(site: Path, tmp_path: Path) -> None:
    other = tmp_path / "site"
    shutil.copytree(site, other)
    points = "[avbench.strategies]\n"
    add_distribution(other, "sad-package", f"{points}sad = sad_module:Sad\n", sad_module="1 / 0\n")
    add_distribution(other, "quits-at-once", f"{points}quits = quits:X\n", quits="raise SystemExit(3)\n")
    add_distribution(other, "no-method", f"{points}plain = plain:Plain\n", plain="class Plain: pass\n")
    gentle = "from avbench_example.gentle import Gentle as G\nclass Other(G):\n    'Other.'\n"
    add_distribution(other, "also-gentle", f"{points}gentle = also:Other\n", also=gentle)
    shown = avbench(other, "list")
    assert shown.returncode == 0, shown.stderr
    lines = {line.split()[0]: line for line in shown.stdout.splitlines() if "Cannot be used" in line}
    assert lines.keys() == {"gentle", "sad", "quits", "plain"}
    assert "its import failed with ZeroDivisionError" in lines["sad"]
    assert "its import failed with SystemExit" in lines["quits"]
    assert "it is not a subclass of avbench.method.Method" in lines["plain"]
    assert "two plugins have this name" in lines["gentle"]
    for distribution in (
        "sad-package",
        "quits-at-once",
        "no-method",
        "avbench-example-plugin",
        "also-gentle",
    ):
        assert distribution in shown.stdout
    assert "Join every batch with as many rehearsed clips." in shown.stdout
    assert "Dogs first, cats then." in shown.stdout
    refused = avbench(other, "run", "--strategy", "sad")
    assert refused.returncode == 2
    assert "'sad' of sad-package 1.0 (sad_module:Sad) cannot be used" in refused.stderr
    assert "Traceback" not in refused.stderr
