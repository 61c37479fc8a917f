"""What the README tells a reader to type works as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from avbench.cli import app
from avbench.registry import catalogue

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
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
