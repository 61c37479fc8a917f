"""`avbench report`: the tables and figures of a paper, from run records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avbench.errors import InputError


def report(
    results: Annotated[Path, typer.Argument(help="Folder of results, as avbench run --results.")] = Path(
        "results"
    ),
    *,
    out: Annotated[Path | None, typer.Option(help="Folder of the report; RESULTS/report by default.")] = None,
) -> None:
    """Make one folder of everything a paper shows of the runs in a folder of results.

    A page that opens offline (index.html), LaTeX tables that compile alone, each with its numbers as CSV,
    figures as PDF, and one LaTeX document of all (main.tex): retrieval and forgetting beside the published
    figures, efficiency, accuracy against memory, the ablation, curves and heat maps along the stream, and of
    every number the records it is made of and the commands that remake them. A report that is there is
    replaced.

    Examples:

        avbench report

        avbench report results/measured --out report
    """
    if not results.is_dir():
        raise InputError(f"there is no folder of results {results}: name it, or make runs with avbench run")
    # Imported here: the command line's help does not wait for matplotlib.
    from avbench.report.making import make_report

    folder = out or results / "report"
    written = make_report(results, folder)
    typer.echo(f"wrote {len(written)} files; open {folder / 'index.html'}")
