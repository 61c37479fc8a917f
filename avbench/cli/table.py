"""`avbench table`: run records as tables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from avbench.comparison import comparisons
from avbench.errors import DataError, InputError, did_you_mean
from avbench.records import read_records
from avbench.table_formats import SUFFIXES, Format, write_tables
from avbench.tables import Forgetting, table

_FORMATS: dict[str, Format] = {name: name for name in SUFFIXES}
_FORGETTING: dict[str, Forgetting] = {"standard": "standard", "published": "published"}


def show_table(
    results: Annotated[Path, typer.Argument(help="Folder of results, as avbench run --results.")] = Path(
        "results"
    ),
    *,
    form: Annotated[str, typer.Option("--format", help="markdown, latex (booktabs) or csv.")] = "markdown",
    out: Annotated[Path | None, typer.Option(help="File to write; printed by default.")] = None,
    scenario: Annotated[str | None, typer.Option(help="Only records of this scenario.")] = None,
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

        avbench table results --forgetting published
    """
    if form not in _FORMATS:
        raise InputError(f"--format: there is no format {form!r}{did_you_mean(form, _FORMATS)}")
    if forgetting not in _FORGETTING:
        raise InputError(
            f"--forgetting: there is no definition {forgetting!r}{did_you_mean(forgetting, _FORGETTING)}"
        )
    if not results.is_dir():
        raise InputError(f"there is no folder of results {results}: name it, or make runs with avbench run")
    found = comparisons(read_records(results, scenario=scenario))
    text = write_tables(
        [table(comparison, forgetting=_FORGETTING[forgetting]) for comparison in found], _FORMATS[form]
    )
    if out is None:
        typer.echo(text, nl=False)
    else:
        _write(text, out)
        typer.echo(f"wrote {out}")


def _write(text: str, out: Path) -> None:
    beside = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.replace(out)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise DataError(f"the table {out} could not be written: {error.strerror or error}") from error
