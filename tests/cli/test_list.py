"""`avbench list`, and help of every command."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from avbench.cli import app
from avbench.errors import InputError
from avbench.registry import catalogue

COMMANDS = [
    "run", "sweep", "table", "compare", "plot", "report", "list", "data", "pretrain", "memory", "bench",
    "check", "new",
]  # fmt: skip
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
    assert "Rehearses: yes" in entries(shown)["er"]
    assert "Rehearses: no " in entries(shown)["finetune"]


def test_one_says_whether_it_is_made_for_several_processes(tmp_path: Path) -> None:
    assert "several processes (torchrun): yes" in show("list", "er")
    mine = tmp_path / "my_method.py"
    mine.write_text(METHOD, encoding="utf-8")
    assert "several processes (torchrun): no" in show("list", "my-method", "--plugin", str(mine))


def entries(shown: str) -> dict[str, str]:
    """What is listed: all that is said of a plugin in one line, by its name."""
    found: dict[str, str] = {}
    name = ""
    for line in shown.splitlines():
        if begins := re.match(r"[a-z][a-z0-9-]*  ", line):
            name = begins[0].strip()
            found[name] = ""
        if name and (begins or line.startswith(" ")):
            found[name] += " " + line.removeprefix(name).strip()
    return found


@pytest.mark.parametrize("columns", [80, 120])
def test_nothing_is_lost_in_a_narrow_terminal(columns: int) -> None:
    output = CliRunner().invoke(app, ["list"], env={"COLUMNS": str(columns)}, catch_exceptions=False).output
    assert max(map(len, output.splitlines())) <= columns
    shown = entries(output)
    for kind in ("strategy", "scenario"):
        for name, plugin in catalogue(kind).plugins.items():  # type: ignore[arg-type]
            assert plugin.sentence in shown[name]
            assert f"Source: {plugin.cls.paper}" in shown[name]
            if kind == "strategy":
                needs = "yes" if plugin.cls.needs_boundaries else "no"
                assert re.search(rf"Needs boundaries: {needs} +Copies of the model: \d", shown[name])


def test_options_of_avalanches_own_plugins() -> None:
    plugin = "avalanche.training.plugins:SynapticIntelligencePlugin"
    assert "Copies of the model: unknown" in show("list", "--plugin", plugin)
    shown = show("list", "synaptic-intelligence", "--plugin", plugin)
    for part in ("si_lambda", "(must be given)", "float | list[float]", "damping parameter", "1703.04200"):
        assert part in shown


def test_a_broken_package_is_listed_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("sad", "nowhere_at_all:Sad", "avbench.strategies")
    monkeypatch.setattr("avbench.registry.entry_points", lambda group: [point] * (group == point.group))
    shown = entries(show("list"))
    assert "Cannot be used: its import failed with ModuleNotFoundError" in shown["sad"]
    assert "Rehearses: yes" in shown["er"]


def test_a_method_that_cannot_be_made_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "sad.py"
    path.write_text(METHOD.replace("super().__init__()", "raise OSError('no disk')"))
    shown = entries(show("list", "--plugin", str(path)))
    assert "Rehearses: ? " in shown["sad"]
    assert "Rehearses: yes" in shown["er"]


def test_options_of_one() -> None:
    shown = show("list", "er")
    for part in (
        "capacity",
        "clips or bytes",
        "2000",
        "With the tiny backbone the defaults are capacity=200",
        "Copies of the model: 0",
        "size of the rehearsal memory",
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
