"""`avbench compare`: methods against one another, and how sure the seeds are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avbench.errors import InputError, did_you_mean
from avbench.files import write_text


def compare(
    results: Annotated[Path, typer.Argument(help="Folder of results, as avbench run --results.")] = Path(
        "results"
    ),
    *,
    against: Annotated[
        str | None,
        typer.Option(
            help="Compare every other method with this one, by default every two. Of several configurations "
            "of it, a bare name means the one at the method's defaults."
        ),
    ] = None,
    measure: Annotated[str, typer.Option(help="A (average accuracy) or F (forgetting).")] = "A",
    metric: Annotated[str, typer.Option(help="R@1, R@5, R@10 or mean.")] = "mean",
    direction: Annotated[str, typer.Option(help="A2V, V2A, or both: their mean.")] = "both",
    scenario: Annotated[str | None, typer.Option(help="Only records of this scenario.")] = None,
    form: Annotated[str, typer.Option("--format", help="markdown, latex (booktabs) or csv.")] = "markdown",
    out: Annotated[Path | None, typer.Option(help="File to write; printed by default.")] = None,
) -> None:
    """Compare methods over the seeds they share: differences, tests, ranks, and what so few seeds can show.

    Differences are paired by seed and tested by flipping signs of whole seeds; p-values are corrected for
    all comparisons shown. Decide what to compare before you look: --against and one score ask fewer
    questions than all pairs.

    Examples:

        avbench compare

        avbench compare results --against avcl --measure F

        avbench compare --direction A2V --metric R@1 --format latex --out pairs.tex
    """
    from avbench.comparison import comparisons
    from avbench.record_files import read_records
    from avbench.statistics.contest import contests
    from avbench.statistics.contest_formats import write_contests
    from avbench.statistics.scores import MEASURES, METRIC_NAMES, SIDES, Score
    from avbench.table_formats import FORMATS

    for option, given, valid in (
        ("--measure", measure, MEASURES),
        ("--metric", metric, METRIC_NAMES),
        ("--direction", direction, SIDES),
        ("--format", form, FORMATS),
    ):
        if given not in valid:
            raise InputError(f"{option}: there is no {given!r}{did_you_mean(given, valid)}")
    if not results.is_dir():
        raise InputError(f"there is no folder of results {results}: name it, or make runs with avbench run")
    score = Score(MEASURES[measure], METRIC_NAMES[metric], SIDES[direction])
    found = contests(comparisons(read_records(results, scenario=scenario)), score, against=against)
    text = write_contests(found, FORMATS[form])
    if form == "csv" or out is not None:
        # Else it is among the notes below the tables that are printed.
        for each in found:
            if each.chosen:
                typer.echo(f"{each.comparison.title}: {each.chosen}", err=True)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text, "the comparison")
        typer.echo(f"wrote {out}")
