"""Tables as text: Markdown, LaTeX, CSV."""

from __future__ import annotations

import csv
import io

from avbench.comparison import comparisons
from avbench.records import Ending
from avbench.statistics.estimates import Estimate
from avbench.table_formats import interval_text, write_tables
from avbench.tables import table


def text(records, form):
    return write_tables([table(each) for each in comparisons(records)], form)


def some(make_record):
    return [
        *(make_record("er", seed, level=10) for seed in (0, 1)),
        *(make_record("avcl", seed, level=30) for seed in (0, 1)),
        make_record("all_&_once", 0, joint=True),
        make_record("der-pp", 0, ending=Ending(how="failed", error="x"), summary={}),
    ]


def test_markdown_has_a_row_a_method_marks_and_the_source(make_record):
    lines = text(some(make_record), "markdown").splitlines()
    assert lines[0] == "## vggsound-stream, rendered clips, tiny backbone"
    avcl = next(line for line in lines if line.startswith("| avcl "))
    er = next(line for line in lines if line.startswith("| er "))
    assert "**" in avcl
    assert " ± " in avcl
    assert "<u>" in er
    assert next(line for line in lines if line.startswith("| der-pp ")).count("missing |") == 8
    grid = [line for line in lines if line.startswith("|")]
    # Method, seeds and 8 scores, or 4 costs.
    assert {line.count("|") - 1 for line in grid} == {10, 6}


def test_latex_is_booktabs_with_escaped_names(make_record):
    found = text(some(make_record), "latex")
    for word in (
        "\\toprule",
        "\\midrule",
        "\\bottomrule",
        "\\cmidrule(lr){3-4}",
        "\\textbf{",
        "\\underline{",
    ):
        assert word in found
    assert "all\\_\\&\\_once $^\\ddagger$" in found
    assert "rendered clips" in found[found.index("\\caption") :]
    assert not any(sign in found for sign in "±†‡")
    assert found.count("\\begin{") == found.count("\\end{")


def test_csv_has_one_figure_a_line(make_record):
    found = list(csv.DictReader(io.StringIO(text(some(make_record), "csv"))))
    # 4 methods, 2 directions x 8 scores and 4 costs.
    assert len(found) == 4 * (2 * 8 + 4)
    assert {row["source"] for row in found} == {"rendered"}
    missing = [row for row in found if row["method"] == "der-pp"]
    assert {(row["mean"], row["absence"], row["seeds"]) for row in missing} == {("", "missing", "0")}
    joint = [row for row in found if row["method"] == "all_&_once" and row["measure"] == "F"]
    assert {row["absence"] for row in joint} == {"n/a"}
    for row in found:
        if row["method"] == "er" and row["mean"]:
            assert float(row["low95"]) <= float(row["mean"]) <= float(row["high95"])


def test_one_seed_shows_no_interval(make_record):
    assert "±" not in "".join(
        line for line in text([make_record()], "markdown").splitlines() if line.startswith("|")
    )


def test_rendered_and_real_clips_have_tables_of_their_own(make_record):
    found = text([make_record(), make_record(source="vggsound")], "markdown")
    assert found.count("\n## ") + found.startswith("## ") == 2


def test_a_bootstrapped_interval_shows_its_bounds():
    assert interval_text(Estimate(3.0, 2.0, 5.0, 20, "bootstrap"), 1, " ± ") == " [2.0, 5.0]"
    assert interval_text(Estimate(3.0, 2.0, 4.0, 3, "t"), 1, " ± ") == " ± 1.0"
    assert interval_text(Estimate(3.0, None, None, 1, "none"), 1, " ± ") == ""
    assert interval_text(Estimate(3.0, 3.0, 3.0, 3, "t"), 1, " ± ") == ""
