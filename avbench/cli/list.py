"""`avbench list`: strategies and scenarios, and the options of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from avbench.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from avbench.registry import Catalogue, Plugin


def list_plugins(
    name: Annotated[
        str | None, typer.Argument(help="A strategy or scenario: show its options.", show_default=False)
    ] = None,
    *,
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|CLASS",
            help="A further strategy or scenario: a Python file, or package.module:Class; may be repeated.",
        ),
    ] = None,
) -> None:
    """Show every strategy and scenario, or the options of one.

    Examples:

        avbench list

        avbench list avcl

        avbench list my-method --plugin my_method.py

        avbench list --plugin avalanche.training.plugins:SynapticIntelligencePlugin
    """
    from avbench.registry import catalogue

    known = [catalogue("strategy", plugin or []), catalogue("scenario", plugin or [])]
    console = Console(highlight=False)
    if name is None:
        for each in known:
            _print_overview(each, console)
        console.print("Options of one: avbench list NAME")
        return
    for each in known:
        if name in each.plugins or name in each.broken:
            _print_plugin(each, each.get(name), console)
            return
    names = [*known[0].plugins, *known[1].plugins]
    raise InputError(f"there is no strategy or scenario {name!r}{did_you_mean(name, names)}")


def _print_overview(known: Catalogue, console: Console) -> None:
    shown = _two_columns()
    for plugin in sorted(known.plugins.values(), key=lambda each: each.name):
        lines = [Text(plugin.sentence), Text(f"Source: {_paper(plugin)}", style="dim")]
        if plugin.code:
            lines.append(Text(f"From: {plugin.origin}", style="dim"))
        if known.kind == "strategy":
            lines.append(Text(_facts(plugin)))
        shown.add_row(Text(plugin.name), Text("\n").join(lines))
    for broken in sorted(known.broken.values(), key=lambda each: each.name):
        why = f"Cannot be used: {broken.reason}.\nFrom: {broken.origin}"
        shown.add_row(Text(broken.name, style="red"), Text(why, style="red"))
    console.print(f"[bold underline]{'Strategies' if known.kind == 'strategy' else 'Scenarios'}[/]\n")
    console.print(shown)
    console.print()


def _two_columns() -> Table:
    """Names beside all that is said of them, a line each: one wide column folds less than many."""
    shown = Table.grid(padding=(0, 2, 0, 0))
    shown.add_column(no_wrap=True, style="bold")
    shown.add_column(overflow="fold")
    return shown


def _print_plugin(known: Catalogue, plugin: Plugin, console: Console) -> None:
    from avbench.options import options_of

    console.print(f"[bold]{plugin.name}[/bold] ({known.kind})")
    console.print(plugin.sentence, markup=False)
    console.print(f"Source: {_paper(plugin)}", markup=False)
    if known.kind == "strategy":
        console.print(_facts(plugin), markup=False)
        console.print(f"Made for several processes (torchrun): {_yes(plugin.cls.over_processes)}")
    console.print(f"From: {plugin.origin}", markup=False, soft_wrap=True)
    options = options_of(plugin.cls)
    if not options:
        console.print("It has no options.")
        return
    console.print("\nOptions (--set NAME=VALUE):")
    shown = _two_columns()
    for option in options.values():
        default = Text(f"{option.type_name}; default: {option.default!r}", style="dim")
        lines = [Text(option.description), default] if option.description else [default]
        shown.add_row(Text(f"  {option.name}"), Text("\n").join(lines))
    console.print(shown)
    if known.kind == "strategy":
        _print_backbone_defaults(set(options), console)


def _print_backbone_defaults(options: set[str], console: Console) -> None:
    from avbench.settings import STRATEGY_OPTIONS

    for backbone, others in STRATEGY_OPTIONS.items():
        if told := [f"{name}={value}" for name, value in others.items() if name in options]:
            console.print(f"With the {backbone} backbone the defaults are {', '.join(told)}.")


def _facts(plugin: Plugin) -> str:
    """What tells methods apart, in columns that stand below one another."""
    from avbench.avalanche_plugins import AvalanchePlugin

    # Nobody told how many copies of the model a foreign plugin keeps; the account of a run's memory says.
    foreign = issubclass(plugin.cls, AvalanchePlugin)
    copies = "unknown" if foreign else str(plugin.cls.model_copies)
    return (
        f"Rehearses: {rehearses(plugin):<3}  Needs boundaries: {_yes(plugin.cls.needs_boundaries):<3}  "
        f"Copies of the model: {copies}"
    )


def rehearses(plugin: Plugin) -> str:
    """Whether a strategy keeps a rehearsal memory: "yes", "no", or "?" where its defaults do not make one."""
    from avbench.avalanche_plugins import AvalanchePlugin
    from avbench.kept_state import rehearsal_memories

    if issubclass(plugin.cls, AvalanchePlugin):
        return "no"  # Memories of Avalanche's own hold labels, and are refused.
    try:
        return _yes(any(True for _ in rehearsal_memories(plugin.cls())))
    # The constructor of someone's method must not keep the others from being listed; a run tells its error.
    except Exception:
        return "?"


def _paper(plugin: Plugin) -> str:
    return str(plugin.cls.paper) or "none stated"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
