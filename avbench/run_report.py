"""What `avbench run` shows at its end: this run's result, and the table and plots of all runs beside it."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from avbench.comparison import Comparison, comparisons
from avbench.files import write_text
from avbench.plots import write_plots
from avbench.record_files import read_records
from avbench.records import DIRECTIONS, RunRecord
from avbench.table_formats import write_tables
from avbench.tables import table


def result_table(record: RunRecord) -> Table:
    """Return a finished run's result: each task after the last stage, A and F, both directions, percent."""
    label = "RENDERED clips, not comparable with real ones" if record.rendered else f"{record.source} clips"
    shown = Table(
        title=f"{record.strategy} on {record.scenario}, seed {record.seed} ({label})",
        caption=f"Mean of R@1, R@5 and R@10 over a gallery of {record.gallery} clips, percent; "
        f"chance {record.chance['mean']:.2f}. F: forgetting, less is better.",
    )
    shown.add_column("after the last task")
    for heading in ("audio to video", "video to audio"):
        shown.add_column(heading, justify="right")
    for number, task in enumerate(record.tasks):
        last = [record.recall[direction]["mean"][-1][number] for direction in DIRECTIONS]
        shown.add_row(task, *(f"{value:.2f}" for value in last))
    shown.add_section()
    summaries = [record.summary[direction]["mean"] for direction in DIRECTIONS]
    shown.add_row("average A", *(f"{each.average:.2f}" for each in summaries), style="bold")
    shown.add_row("forgetting F", *(_or_none(each.forgetting) for each in summaries), style="bold")
    shown.add_row("F as published", *(_or_none(each.forgetting_published) for each in summaries))
    return shown


def _or_none(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def write_report(record: RunRecord, results: Path) -> list[tuple[str, Path]]:
    """Write the table and plots of all runs that `record` may be compared with; return kinds and paths.

    Raises:
        DataError: a record in `results` is damaged, or a file cannot be written.
    """
    ours = _comparison_of(record, results)
    tables = results / "tables" / f"{ours.stem}.md"
    write_text(tables, write_tables([table(ours)], "markdown"), "the table")
    plots = write_plots(ours, results / "plots")
    return [("table", tables), *(("plot", path) for path in plots if path.suffix == ".png")]


def _comparison_of(record: RunRecord, results: Path) -> Comparison:
    found = comparisons(read_records(results, scenario=record.scenario))
    return next(
        comparison
        for comparison in found
        if any(record.identity == entry.identity for entry in comparison.entries)
    )
