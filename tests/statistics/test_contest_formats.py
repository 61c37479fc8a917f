"""Pairs and ranks as text: Markdown, LaTeX, CSV."""

from __future__ import annotations

import csv
import io

from avbench.comparison import comparisons
from avbench.records import Ending
from avbench.statistics.contest import contests
from avbench.statistics.contest_formats import write_contests
from avbench.statistics.scores import Score

FAILED = {"ending": Ending(how="failed", error="boom"), "summary": {}}


def text(records, form, score=None, **options):
    return write_contests(contests(comparisons(records), score or Score("A"), **options), form)


def some(scored):
    return [
        *(scored("er", seed, [10, 30]) for seed in range(3)),
        *(scored("avcl", seed, [11 + seed, 31 + seed]) for seed in range(3)),
        scored("mir", 0, [10.5, 33]),
        scored("mir", 2, [1, 1], **FAILED),
        scored("a_&_b", 1, [1, 1], **FAILED),
    ]


def row(found, *starts):
    return next(
        line for line in found.splitlines() if [cell.strip() for cell in line.split("|")][1:3] == list(starts)
    )


def test_markdown_shows_pairs_ranks_and_what_is_missing(scored):
    found = text(some(scored), "markdown")
    assert found.startswith(
        "## vggsound-stream, rendered clips, tiny backbone: average accuracy A (mean of R@1"
    )
    assert row(found, "avcl", "er") == "| avcl | er | 0, 1, 2 | +2.00 ± 2.48 | 2 of 2 | 0.25 | 0.25 |"
    assert row(found, "er", "mir") == (
        "| er | mir | 0 (second: missing 1; failed 2) | -1.75 | 0 of 2 |  |  |"
    )
    assert row(found, "a_&_b", "er") == (
        "| a_&_b | er | none (first: missing 0, 2; failed 1) | missing |  |  |  |"
    )
    assert row(found, "avcl", "0, 1, 2") == "| avcl | 0, 1, 2 | 22.00 ± 2.48 | 1.0 | 1 to 1 |"
    assert row(found, "mir", "0 (missing 1; failed 2)") == "| mir | 0 (missing 1; failed 2) | missing |  |  |"
    assert "3 seeds cannot reach p < 0.25" in found


def test_latex_is_booktabs_with_escaped_names(scored):
    found = text(some(scored), "latex")
    assert all(word in found for word in ("\\toprule", "\\midrule", "\\bottomrule", "a\\_\\&\\_b"))
    assert "rendered clips" in found[found.index("\\caption") :]
    assert "±" not in found
    assert found.count("\\begin{") == found.count("\\end{") == 3


def test_csv_has_a_pair_or_a_rank_a_line(scored):
    found = list(csv.DictReader(io.StringIO(text(some(scored), "csv"))))
    pairs = [each for each in found if each["kind"] == "difference"]
    assert len(pairs) == 6
    (pair,) = [each for each in pairs if (each["method"], each["against"]) == ("avcl", "er")]
    assert (float(pair["mean"]), pair["seeds"], pair["p"], pair["comparisons"]) == (2, "0 1 2", "0.25", "1")
    assert float(pair["low95"]) < 0 < float(pair["high95"])
    (pair,) = [each for each in pairs if (each["method"], each["against"]) == ("er", "mir")]
    assert (pair["lacks"], pair["against_lacks"], pair["p"]) == ("", "missing 1; failed 2", "")
    ranks = {each["method"]: each for each in found if each["kind"] == "rank"}
    assert (ranks["avcl"]["mean_rank"], ranks["avcl"]["rank_confidence"]) == ("1.0", "0.75")
    assert (ranks["mir"]["mean"], ranks["mir"]["mean_rank"], ranks["mir"]["absence"]) == ("", "", "missing")
    assert {each["source"] for each in found} == {"rendered"}


def test_a_score_that_is_not_defined_is_not_missing(make_record):
    found = text([make_record("er"), make_record("all", joint=True)], "markdown", Score("F"), against="all")
    assert row(found, "er", "all") == "| er | all | 0 | n/a |  |  |  |"


def test_one_method_has_no_table_of_pairs(scored):
    found = text([scored("er", 0, [1, 2])], "markdown")
    assert "Paired comparisons" not in found
    assert "nothing to compare" in found
    assert text([scored("er", 0, [1, 2])], "latex").count("\\toprule") == 1


def test_the_order_of_records_changes_no_letter(measured):
    assert text(measured, "csv") == text(measured[::-1], "csv")
    assert text(measured, "markdown", against="avcl") == text(measured[::-1], "markdown", against="avcl")
