"""`avbench list`, and help of every command."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from avbench.cli import app
from avbench.errors import InputError

COMMANDS = ["run", "table", "plot", "list", "data", "pretrain", "memory", "bench"]
METHOD = '''
from avbench.method import Method

class MyMethod(Method):
    """Do my own thing.

    Args:
        strength: how much of it.
    """

    paper = "mine, 2026"

    def __init__(self, *, strength: float = 0.5) -> None:
        super().__init__()
'''


def show(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "250"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_plugin_is_listed() -> None:
    shown = show("list")
    for part in (
        "er",
        "finetune",
        "Join every batch with as many rehearsed clips.",
        "vggsound-stream",
        "STELLA",
    ):
        assert part in shown
    (row,) = [line for line in shown.splitlines() if "│ er " in line]
    assert "yes" in row
    (row,) = [line for line in shown.splitlines() if "│ finetune " in line]
    assert "yes" not in row


def test_options_of_one() -> None:
    shown = show("list", "er")
    for part in (
        "capacity",
        "int",
        "2000",
        "clips in the rehearsal memory",
        "Rehearses: yes",
        "avbench.baselines.er",
    ):
        assert part in shown
    assert "It has no options." in show("list", "finetune")
    assert "gallery_clips_per_class" in show("list", "vggsound-stream")


def test_a_plugin_file_is_listed_with_its_options(tmp_path: Path) -> None:
    path = tmp_path / "my_method.py"
    path.write_text(METHOD)
    assert "Do my own thing." in show("list", "--plugin", str(path))
    shown = show("list", "my-method", "--plugin", str(path))
    for part in ("strength", "float", "0.5", "how much of it.", str(path)):
        assert part in shown


def test_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(InputError, match=r"did you mean finetune\?"):
        CliRunner().invoke(app, ["list", "finetun"], catch_exceptions=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    assert command in show("--help")
    assert len(show(command, "--help").splitlines()) > 5
