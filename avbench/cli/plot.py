"""`avbench plot`: run records as figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avbench.errors import InputError


def plot(
    results: Annotated[Path, typer.Argument(help="Folder of results, as avbench run --results.")] = Path(
        "results"
    ),
    *,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figures; RESULTS/plots by default.")
    ] = None,
    scenario: Annotated[str | None, typer.Option(help="Only records of this scenario.")] = None,
    defaults: Annotated[
        bool,
        typer.Option("--defaults", help="Only methods at the defaults of their options; others are named."),
    ] = False,
) -> None:
    """Draw all runs in a folder of results, each figure as PNG and PDF.

    Memory per method by kind, accuracy against memory, recall of each task along the stream, and a
    stage x task heat map per method; of the first run of each method that left exhibits, the gallery's
    embeddings, and what the method selected of some clips. Rendered and real clips never share a figure.

    Examples:

        avbench plot

        avbench plot results --scenario vggsound-stream --out figures
    """
    if not results.is_dir():
        raise InputError(f"there is no folder of results {results}: name it, or make runs with avbench run")
    # Imported here: the command line's help does not wait for matplotlib.
    from avbench.comparison import at_defaults, comparisons, left_out
    from avbench.exhibits.figures import write_exhibit_figures
    from avbench.plots import write_plots
    from avbench.record_files import read_records

    records = read_records(results, scenario=scenario)
    everything = comparisons(records)
    shown = comparisons(at_defaults(records)) if defaults else everything
    for comparison, whole in zip(shown, everything, strict=True):
        if missing := left_out(comparison, whole):
            typer.echo(f"{comparison.title}: left out {', '.join(missing)}", err=True)
        folder = out or results / "plots"
        for path in write_plots(comparison, folder) + write_exhibit_figures(comparison, results, folder):
            typer.echo(path)
