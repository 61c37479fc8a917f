"""`avbench check`: a report a person can read, and an exit status a script can."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from avbench.cli import app
from avbench.errors import InputError
from avbench.method import Method
from avbench.registry import BrokenPlugin, Catalogue, Plugin, catalogue
from avbench.testing import CHECKS

METHOD = '''
from avbench.method import Method

class MyMethod(Method):
    """Do nothing."""

    paper = "mine{year}"
'''


def check(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["check", *arguments], env={"COLUMNS": "200"}, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def test_a_strategy_by_name() -> None:
    shown = check("finetune")
    for each in CHECKS:
        assert each.sentence in shown
    assert "FAILED" not in shown
    assert "clips-within-capacity: it has no option called capacity" in shown
    assert ", 0 failed, " in shown


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "my_method.py"
    path.write_text(METHOD.format(year=", 2026"))
    assert ", 0 failed, " in check(str(path))
    assert ", 0 failed, " in check("my-method", "--plugin", str(path))


def test_a_failure_has_its_reason_and_ends_with_1(tmp_path: Path) -> None:
    path = tmp_path / "my_method.py"
    path.write_text(METHOD.format(year=""))
    shown = check(str(path), code=1)
    (line,) = [line for line in shown.splitlines() if "FAILED" in line]
    assert "cites its source" in line
    assert "described: MyMethod.paper is 'mine': say where the method is from, with its year" in shown
    assert ", 1 failed, " in shown


def test_all_is_a_table_with_what_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Catalogue("strategy")
    for name in ("finetune", "multitask"):
        known.add(catalogue("strategy").get(name))
    monkeypatch.setattr("avbench.registry.catalogue", lambda kind, given: known)
    shown = check("--all")
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("│")] == [
        "finetune",
        "multitask",
    ]

    known.add(BrokenPlugin("theirs", "a package", "its import failed"))
    shown = check("--all", code=1)
    assert "theirs of a package cannot be used: its import failed" in shown
    assert "multitask" in shown


def test_all_says_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unsourced(Method):
        """Do nothing."""

    known = Catalogue("strategy")
    known.add(Plugin("unsourced", "here", Unsourced))
    monkeypatch.setattr("avbench.registry.catalogue", lambda kind, given: known)
    shown = check("--all", code=1)
    (row,) = [line for line in shown.splitlines() if line.startswith("│")]
    assert "described" in row
    assert "unsourced, described: Unsourced.paper is ''" in shown


def test_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(InputError, match=r"did you mean finetune\?"):
        check("finetun")


@pytest.mark.parametrize("arguments", [[], ["er", "--all"]])
def test_either_a_name_or_all(arguments: list[str]) -> None:
    with pytest.raises(InputError, match="--all"):
        check(*arguments)
