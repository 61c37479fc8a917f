"""What tables say: means and intervals, ranks, what is missing."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from avbench.comparison import comparisons
from avbench.records import DIRECTIONS, METRICS, Ending, Memory, Summary
from avbench.tables import table


def summary(average: float, forgetting: float | None) -> dict[str, object]:
    """The same A and F for every direction and metric."""
    published = None if forgetting is None else forgetting + 1
    score = Summary(average=average, forgetting=forgetting, forgetting_published=published)
    return {"summary": {way: dict.fromkeys(METRICS, score) for way in DIRECTIONS}}


def rows(records, **options):
    (found,) = comparisons(records)
    made = table(found, **options)
    return made, {row.label: row for row in made.retrieval[0][1].rows}


def test_columns_are_the_papers_in_both_directions(make_record):
    made, _ = rows([make_record()])
    assert [way for way, _ in made.retrieval] == ["A2V", "V2A"]
    for _, block in made.retrieval:
        heads = [(column.group, column.name) for column in block.columns]
        assert heads == [(metric, name) for metric in METRICS for name in ("A", "F")]
    assert [column.name for column in made.cost.columns] == [
        "rehearsal MiB", "other state MiB", "peak step MiB", "clips/s",
    ]  # fmt: skip


def test_mean_and_interval_over_seeds(make_record):
    _, found = rows([make_record(seed=seed, **summary(value, 0.0)) for seed, value in enumerate((1, 2, 6))])
    cell = found["er"].cells[0]
    assert cell.value.mean == 3
    assert cell.value.half_width == pytest.approx(4.3027 * math.sqrt(7 / 3), rel=1e-4)
    assert found["er"].seeds == "3"


def test_best_and_second_by_column_and_less_forgetting_is_better(make_record):
    _, found = rows(
        [
            make_record("a", **summary(10, 5)),
            make_record("b", **summary(12, 7)),
            make_record("c", **summary(11, 6)),
            make_record("d", **summary(12, 8)),
        ]
    )
    ranks = {label: tuple(cell.rank for cell in row.cells[:2]) for label, row in found.items()}
    assert ranks == {"a": (None, 1), "b": (1, None), "c": (2, 2), "d": (1, None)}


def test_the_upper_bound_is_not_ranked_and_has_no_forgetting(make_record):
    made, found = rows(
        [make_record("a"), make_record("b"), make_record("z", joint=True, **summary(90, None))]
    )
    bound = found["z ‡"]
    assert bound.cells[0].value.mean == 90
    assert bound.cells[0].rank is None
    assert (bound.cells[1].value, bound.cells[1].absence) == (None, "n/a")
    assert any("upper bound" in note for note in made.notes)


def test_what_is_missing_is_missing_and_not_zero(make_record):
    failed = {"ending": Ending(how="failed", error="boom"), "summary": {}}
    made, found = rows([make_record("a", 0), make_record("a", 1), make_record("b", 0, **failed)])
    assert found["b"].seeds == "0 (failed: 0; missing: 1)"
    assert all(cell.value is None and cell.absence == "missing" for cell in found["b"].cells)
    assert all(cell.absence == "missing" for cell in made.cost.rows[1].cells)


def test_a_peak_that_one_seed_lacks_is_missing(make_record):
    made, _ = rows([make_record(seed=0), make_record(seed=1, memory=Memory(kinds=[]))])
    assert made.cost.rows[0].cells[2].absence == "missing"


def test_forgetting_as_published_is_another_table_and_says_so(make_record):
    records = [make_record(**summary(10, 5))]
    standard, published = rows(records), rows(records, forgetting="published")
    assert standard[1]["er"].cells[1].value.mean == 5
    assert published[1]["er"].cells[1].value.mean == 6
    assert any("published script" in note for note in published[0].notes)
    assert not any("published script" in note for note in standard[0].notes)


def test_rendered_clips_are_named_in_title_and_notes(make_record):
    made, _ = rows([make_record()])
    assert "rendered" in made.title
    assert "rendered" in made.notes[0]


def test_boundaries_are_marked(make_record):
    made, found = rows([make_record(needs_boundaries=True)])
    assert list(found) == ["er †"]
    assert any(note.startswith("†") for note in made.notes)


@pytest.mark.parametrize("module", ["tables", "table_formats", "plots", "cli.table", "cli.plot", "published"])
def test_tables_and_plots_need_no_torch(module):
    code = f"import sys, avbench.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == 0


def test_scores_of_a_slow_copy_are_marked(make_record):
    made, found = rows([make_record("cls-er", evaluates_copy=True), make_record("er")])
    assert set(found) == {"cls-er §", "er"}
    assert any(note.startswith("§ retrieval is measured with a slow copy") for note in made.notes)
    assert not any(note.startswith("§") for note in rows([make_record("er")])[0].notes)


def test_a_method_that_lacks_seeds_is_not_ranked(make_record):
    best = make_record("mir", 0, **summary(90, 1))
    others = [
        make_record(name, seed, **summary(level, 5))
        for name, level in (("er", 20), ("avcl", 30))
        for seed in (0, 1)
    ]
    made, found = rows([best, *others])
    assert found["mir"].cells[0].rank is None
    assert (found["avcl"].cells[0].rank, found["er"].cells[0].rank) == (1, 2)
    assert "Methods that lack seeds are not ranked." in made.notes
