"""`avbench check`: whether a method keeps to the plugin contract, check by check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from avbench.errors import InputError

if TYPE_CHECKING:
    from avbench.registry import Catalogue
    from avbench.testing import Finding

_MARKS = {
    "ok": "[green]ok[/green]    ",
    "failed": "[bold red]FAILED[/bold red]",
    "not applicable": "[dim]-[/dim]     ",
}


def check(
    name: Annotated[
        str | None,
        typer.Argument(help="A strategy, or a Python file that defines one.", show_default=False),
    ] = None,
    *,
    plugin: Annotated[
        list[str] | None, typer.Option(help="A Python file with a further strategy; may be repeated.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Check every strategy there is.")] = False,
) -> None:
    """Check that a strategy keeps to the plugin contract, at a tiny size on clips of noise.

    Ends with 1 if a check fails. A check that does not apply, or cannot be made on this machine, is told
    apart from one that passed.

    Examples:

        avbench check er

        avbench check my_method.py

        avbench check --all
    """
    from avbench.registry import catalogue

    if (name is None) != every:
        raise InputError("give the name of a strategy, a Python file, or --all")
    console = Console(highlight=False)
    given = list(plugin or [])
    if name is None:
        passed = _check_all(catalogue("strategy", given), console)
    else:
        if name.endswith(".py"):
            given.append(name)
        known = catalogue("strategy", given)
        passed = _check_one(
            known, Path(name).stem.replace("_", "-") if name.endswith(".py") else name, console
        )
    if not passed:
        raise typer.Exit(1)


def _check_one(known: Catalogue, name: str, console: Console) -> bool:
    from avbench.testing import check_strategy

    found = known.get(name)
    with console.status(f"checking {name}"):
        findings = check_strategy(found.cls)
    console.print(f"[bold]{name}[/bold] ({found.origin})", soft_wrap=True)
    for finding in findings:
        console.print(f"{_MARKS[finding.outcome]}  {finding.sentence}", soft_wrap=True)
        if finding.reason:
            console.print(f"        {finding.check}: {finding.reason}", markup=False, soft_wrap=True)
    console.print(_summary(findings))
    return not _failed(findings)


def _check_all(known: Catalogue, console: Console) -> bool:
    from avbench.testing import check_strategy

    shown = Table(title="Strategies and the plugin contract", title_justify="left")
    shown.add_column("name", no_wrap=True, style="bold")
    for heading in ("ok", "failed", "not applicable"):
        shown.add_column(heading, justify="right")
    shown.add_column("what failed", overflow="fold")
    reasons: list[str] = []
    with console.status("") as status:
        for name in sorted(known.plugins):
            status.update(f"checking {name}")
            findings = check_strategy(known.plugins[name].cls)
            failed = _failed(findings)
            reasons += [f"{name}, {finding.check}: {finding.reason}" for finding in failed]
            shown.add_row(name, *_counts(findings), ", ".join(finding.check for finding in failed))
    for broken in known.broken.values():
        shown.add_row(broken.name, "", "", "", "cannot be used")
        reasons.append(f"{broken.name} of {broken.origin} cannot be used: {broken.reason}")
    console.print(shown)
    for reason in reasons:
        console.print(reason, style="red", markup=False, soft_wrap=True)
    return not reasons


def _failed(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.outcome == "failed"]


def _counts(findings: list[Finding]) -> list[str]:
    outcomes = [finding.outcome for finding in findings]
    return [str(outcomes.count(outcome)) for outcome in ("ok", "failed", "not applicable")]


def _summary(findings: list[Finding]) -> str:
    passed, failed, others = _counts(findings)
    return f"{passed} ok, {failed} failed, {others} not applicable"
