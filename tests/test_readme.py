"""What the README tells a reader to type works as it stands there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from avbench.cli import app
from avbench.comparison import comparisons
from avbench.record_files import read_records
from avbench.registry import catalogue
from avbench.table_formats import write_tables
from avbench.tables import table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = "vggsound-stream"
MEASURED = ROOT / "results" / "measured"
# Lines of indented blocks, up to a remark.
COMMANDS = sorted(
    {
        command.split("#")[0].strip()
        for line in README.splitlines()
        if line.startswith("    ")
        for command in re.split(r"&&|;", line)
        if command.strip().startswith("avbench ")
    }
)


def section(title: str) -> str:
    """The README's section under this heading."""
    return re.split(r"^## ", README.split(f"## {title}\n")[1], flags=re.MULTILINE)[0]


def test_the_example_baseline_trains_and_keeps_the_harder_half(
    tmp_path: Path, pretraining: Any, clips: Any
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "hardest.py").write_text(example, encoding="utf-8")
    method = catalogue("strategy", [tmp_path / "hardest.py"]).get("hardest").cls(capacity=3)
    strategy = pretraining(method)
    losses = [strategy.step(clips(4, seed)).item() for seed in range(3)]
    assert len(example.strip().splitlines()) <= 40
    assert torch.tensor(losses).isfinite().all()
    assert len(method.memory) == 3  # two of every four, up to the capacity


def test_adding_a_baseline_goes_as_the_readme_says(tmp_path: Path) -> None:
    """The file as it stands there, then its commands as they stand there, the run on a few clips."""
    added = section("Your own baseline")
    (example,) = re.findall(r"```python\n(.*?)```", added, re.DOTALL)
    (tmp_path / "hardest.py").write_text(example, encoding="utf-8")
    commands = re.findall(r"^    (avbench .*)$", added, re.MULTILINE)
    assert [command.split()[1] for command in commands] == ["check", "list", "run"]
    few = ["--epochs", "1", "--set", "training_clips_per_class=1", "--set", "gallery_clips_per_class=1"]
    cache = {"AVBENCH_CACHE": str(tmp_path / "cache"), "COLUMNS": "120", "OMP_NUM_THREADS": "1"}
    shown = {}
    for command in commands:
        words = [sys.executable, "-m", *shlex.split(command)] + (few if " run " in command else [])
        done = subprocess.run(
            words, cwd=tmp_path, env={**os.environ, **cache}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        shown[command.split()[1]] = done.stdout
    assert "0 failed" in shown["check"]
    assert "capacity" in shown["list"]
    assert "average A" in shown["run"]
    (record,) = read_records(tmp_path / "results")
    assert (record.strategy, record.ending.how) == ("hardest", "finished")


def test_the_readme_s_table_is_that_of_the_records() -> None:
    # The command that the README names.
    made = CliRunner().invoke(app, ["table", str(MEASURED), "--scenario", SHOWN, "--defaults"])
    lines = [line.rstrip() for line in made.stdout.splitlines() if not line.startswith("#")]
    assert len(lines) > 60
    for line in lines:
        assert line in README


def test_the_readme_s_speeds_are_those_that_were_measured() -> None:
    measured = json.loads((MEASURED / "bench.json").read_text(encoding="utf-8"))
    assert {each["strategy"] for each in measured["training"]} == set(catalogue("strategy").plugins)
    for each in measured["training"]:
        assert f"| {each['strategy']} {each['ratio']:.2f} |" in README


def test_the_tables_of_the_measured_runs_are_those_of_the_records() -> None:
    found = comparisons(read_records(MEASURED))
    assert {each.scenario for each in found} == {SHOWN, "audioset-stream"}
    for each in found:
        made = write_tables([table(each)], "markdown")
        written = (MEASURED / "tables" / f"{each.stem}.md").read_text(encoding="utf-8")
        assert written.strip() == made.strip()
        assert f"results/measured/tables/{each.stem}.md" in README or each.scenario == SHOWN


def test_the_readme_shows_commands() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_the_options_that_they_are_shown_with(command: str) -> None:
    words = shlex.split(re.sub(r"\$\w+", "0", command))[1:]
    found: Any = typer.main.get_command(app)
    while hasattr(found, "commands"):
        found = found.commands[words.pop(0)]
    known = {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= known
