"""`avbench list`: strategies and scenarios, and the options of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from avbench.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from avbench.registry import Catalogue, Plugin


def list_plugins(
    name: Annotated[
        str | None, typer.Argument(help="A strategy or scenario: show its options.", show_default=False)
    ] = None,
    *,
    plugin: Annotated[
        list[Path] | None, typer.Option(help="Python file with a strategy or scenario; may be repeated.")
    ] = None,
) -> None:
    """Show every strategy and scenario, or the options of one.

    Examples:

        avbench list

        avbench list avcl

        avbench list my-method --plugin my_method.py
    """
    from avbench.registry import catalogue

    known = [catalogue("strategy", plugin or []), catalogue("scenario", plugin or [])]
    console = Console(highlight=False)
    if name is None:
        for each in known:
            console.print(_overview(each))
            _print_broken(each, console)
        console.print("Options of one: avbench list NAME")
        return
    for each in known:
        if name in each.plugins or name in each.broken:
            _print_plugin(each, each.get(name), console)
            return
    names = [*known[0].plugins, *known[1].plugins]
    raise InputError(f"there is no strategy or scenario {name!r}{did_you_mean(name, names)}")


def _overview(known: Catalogue) -> Table:
    strategies = known.kind == "strategy"
    shown = Table(title="Strategies" if strategies else "Scenarios", title_justify="left")
    shown.add_column("name", no_wrap=True, style="bold")
    shown.add_column("what it does", overflow="fold")
    if strategies:
        shown.add_column("rehearses")
        shown.add_column("needs boundaries")
    shown.add_column("source", overflow="fold")
    for plugin in sorted(known.plugins.values(), key=lambda each: each.name):
        facts = [_yes(rehearses(plugin)), _yes(plugin.cls.needs_boundaries)] if strategies else []
        shown.add_row(plugin.name, plugin.sentence, *facts, _paper(plugin))
    return shown


def _print_broken(known: Catalogue, console: Console) -> None:
    for broken in known.broken.values():
        console.print(
            f"{known.kind} {broken.name} of {broken.origin} cannot be used: {broken.reason}",
            style="red",
            markup=False,
        )


def _print_plugin(known: Catalogue, plugin: Plugin, console: Console) -> None:
    from avbench.options import options_of

    console.print(f"[bold]{plugin.name}[/bold] ({known.kind})")
    console.print(plugin.sentence, markup=False)
    console.print(f"Source: {_paper(plugin)}", markup=False)
    if known.kind == "strategy":
        console.print(
            f"Rehearses: {_yes(rehearses(plugin))}. Needs boundaries: {_yes(plugin.cls.needs_boundaries)}."
        )
    console.print(f"From: {plugin.origin}", markup=False, soft_wrap=True)
    options = options_of(plugin.cls)
    if not options:
        console.print("It has no options.")
        return
    shown = Table(title="Options (--set NAME=VALUE)", title_justify="left")
    for heading in ("name", "type", "default", "what it is"):
        shown.add_column(heading, overflow="fold")
    for option in options.values():
        shown.add_row(option.name, option.type_name, repr(option.default), option.description)
    console.print(shown)
    if known.kind == "strategy":
        _print_backbone_defaults(set(options), console)


def _print_backbone_defaults(options: set[str], console: Console) -> None:
    from avbench.settings import STRATEGY_OPTIONS

    for backbone, others in STRATEGY_OPTIONS.items():
        if told := [f"{name}={value}" for name, value in others.items() if name in options]:
            console.print(f"With the {backbone} backbone the defaults are {', '.join(told)}.")


def rehearses(plugin: Plugin) -> bool:
    """Whether a strategy, made with its defaults, keeps a rehearsal memory."""
    from avbench.kept_state import rehearsal_memories

    return any(True for _ in rehearsal_memories(plugin.cls()))


def _paper(plugin: Plugin) -> str:
    return str(plugin.cls.paper) or "none stated"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
