"""The command line, `avbench COMMAND`: each command is a module here.

Modules here import nothing heavy at their top, so that help comes at once; commands import what they need
when they are called.
"""

from __future__ import annotations

import signal
import sys
import warnings
from types import FrameType
from typing import NoReturn

import typer
from rich.console import Console

from avbench.cli import bench, check, compare, data, memory, new, plot, pretrain, report, run, sweep, table
from avbench.cli import list as listing
from avbench.errors import AvbenchError

app = typer.Typer(
    name="avbench",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Benchmark methods of continual audio-video pre-training: run them, compare them, add your own.",
    epilog="Start with: avbench run --strategy avcl --scenario vggsound-stream",
)
app.command("run")(run.run)
app.command("sweep")(sweep.sweep)
app.command("table")(table.show_table)
app.command("compare")(compare.compare)
app.command("plot")(plot.plot)
app.command("report")(report.report)
app.command("list")(listing.list_plugins)
app.add_typer(data.app, name="data")
app.command("pretrain")(pretrain.pretrain)
app.command("memory")(memory.memory)
app.command("bench")(bench.bench)
app.command("check")(check.check)
app.add_typer(new.app, name="new")


def main() -> None:
    """Run the command line; end with 0 if all went well, 1 if work failed, 2 if the input was wrong."""
    # Avalanche imports a solver that avbench does not use, which complains.
    warnings.filterwarnings("ignore", message="no QP solver found")
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app()
    except AvbenchError as error:
        Console(stderr=True).print(f"Error: {error}", style="bold red", soft_wrap=True, markup=False)
        sys.exit(error.exit_code)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    # A request to terminate ends a run as Ctrl-C does: with a record that says so.
    raise KeyboardInterrupt
