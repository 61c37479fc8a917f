"""`avbench table`: run records as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avbench.errors import InputError, did_you_mean
from avbench.files import write_text


def show_table(
    results: Annotated[Path, typer.Argument(help="Folder of results, as avbench run --results.")] = Path(
        "results"
    ),
    *,
    form: Annotated[str, typer.Option("--format", help="markdown, latex (booktabs) or csv.")] = "markdown",
    out: Annotated[Path | None, typer.Option(help="File to write; printed by default.")] = None,
    scenario: Annotated[str | None, typer.Option(help="Only records of this scenario.")] = None,
    defaults: Annotated[
        bool,
        typer.Option(
            "--defaults", help="Only methods at the defaults of their options; others are named below."
        ),
    ] = False,
    forgetting: Annotated[
        str, typer.Option(help="standard, or published: as the paper's script computes it.")
    ] = "standard",
) -> None:
    """Make tables of all runs in a folder of results: retrieval, forgetting, memory and speed.

    Only runs that differ in nothing but the seed are averaged. Rendered and real clips, other backbones and
    other stores get tables of their own.

    Examples:

        avbench table

        avbench table results --format latex --out table.tex

        avbench table results --defaults

        avbench table results --forgetting published
    """
    from avbench.comparison import at_defaults, comparisons, left_out
    from avbench.record_files import read_records
    from avbench.table_formats import FORMATS, write_tables
    from avbench.table_notes import FORGETTING
    from avbench.tables import table

    if form not in FORMATS:
        raise InputError(f"--format: there is no format {form!r}{did_you_mean(form, FORMATS)}")
    if forgetting not in FORGETTING:
        raise InputError(
            f"--forgetting: there is no definition {forgetting!r}{did_you_mean(forgetting, FORGETTING)}"
        )
    if not results.is_dir():
        raise InputError(f"there is no folder of results {results}: name it, or make runs with avbench run")
    records = read_records(results, scenario=scenario)
    everything = comparisons(records)
    shown = comparisons(at_defaults(records)) if defaults else everything
    tables = [
        table(
            comparison,
            forgetting=FORGETTING[forgetting],
            left_out=left_out(comparison, whole) if defaults else None,
        )
        for comparison, whole in zip(shown, everything, strict=True)
    ]
    text = write_tables(tables, FORMATS[form])
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text, "the table")
        typer.echo(f"wrote {out}")
