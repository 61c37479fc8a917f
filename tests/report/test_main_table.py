"""The main table: ours, and published figures beside them only where they may be compared."""

from __future__ import annotations

from typing import Any

import pytest

from avbench.records import DIRECTIONS, METRICS, Summary
from avbench.report.content import Number, Sheet, Words
from avbench.report.main_table import main_table


def sheets(section: Any) -> dict[str, Sheet]:
    return {item.stem: item for item in section.items if isinstance(item, Sheet)}


def words(section: Any) -> str:
    return " ".join(item.text for item in section.items if isinstance(item, Words))


def summary(average: float, forgetting: float) -> Any:
    score = Summary(average=average, forgetting=forgetting, forgetting_published=forgetting + 1)
    return {way: dict.fromkeys(METRICS, score) for way in DIRECTIONS}


def real(run: Any, strategy: str = "er", seed: int = 0, **changes: Any) -> Any:
    return run(strategy, seed, **({"backbone": "base", "source": "vggsound"} | changes))


def test_rendered_results_are_never_beside_published_ones(study: Any, run: Any) -> None:
    found = sheets(main_table(study([run("er"), run("avcl")])))
    assert list(found) == [
        "vggsound-stream-rendered-tiny-main",
        "vggsound-stream-published",
        "audioset-stream-published",
    ]
    published = found["vggsound-stream-published"]
    assert "rendered clips, a stand-in: the two tables must not be compared" in published.caption
    assert not published.records
    assert "retrieval.csv" in published.source
    ours = found["vggsound-stream-rendered-tiny-main"]
    assert "rendered" in ours.caption
    assert not ours.source
    assert {row[0] for block in ours.blocks for row in block.rows} == {"er", "avcl"}


@pytest.mark.parametrize("seeds", [1, 3])
def test_real_clips_are_set_beside_the_published_figures(study: Any, run: Any, seeds: int) -> None:
    records = [real(run, seed=seed, summary=summary(10 + seed, 3.0)) for seed in range(seeds)]
    found = sheets(main_table(study([*records, real(run, "mine", plugin_code={"strategy": "0"})])))
    assert "vggsound-stream-published" not in found
    beside = found["vggsound-stream-vggsound-base-beside-published"]
    rows = {row[0]: row for row in beside.blocks[0].rows}
    assert list(rows) == ["er", "  published (ER)", "  difference", "mine"]
    # Published: ER, A2V, R@1: A 4.09 and F 3.66, by its own definition of F.
    mean = 10 + (seeds - 1) / 2
    assert [cell.value for cell in rows["  published (ER)"][1:3]] == [4.09, 3.66]
    assert rows["er"][1].value == mean
    assert rows["er"][2].value == 4.0
    assert rows["  difference"][1].value == pytest.approx(mean - 4.09)
    assert rows["  difference"][2].value == pytest.approx(4.0 - 3.66)
    assert rows["  difference"][1].text == f"{mean - 4.09:+.2f}"
    assert rows["  difference"][1].spread == rows["er"][1].spread
    assert bool(rows["er"][1].spread) == (seeds == 3)
    assert any("published script" in note for note in beside.notes)


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": "tiny"},
        {"source": "audioset"},
        {"source": "rendered"},
        {"scenario": "another-stream"},
    ],
    ids=str,
)
def test_other_clips_backbones_and_streams_have_no_difference(study: Any, run: Any, changes: Any) -> None:
    found = sheets(main_table(study([real(run, **changes)])))
    assert not [stem for stem in found if "beside" in stem]
    assert "vggsound-stream-published" in found
    assert not [
        cell
        for sheet in found.values()
        for block in sheet.blocks
        for row in block.rows
        for cell in row
        if isinstance(cell, Number) and cell.signed
    ]


def test_a_stream_without_records_is_missing_in_words(study: Any, run: Any) -> None:
    section = main_table(study([run("er")]))
    assert "there are no records of audioset-stream" in words(section)
    assert "vggsound-stream" not in words(section)


def test_variants_have_a_table_of_their_own(study: Any, run: Any) -> None:
    found = sheets(main_table(study([run("er"), run("er", capacity=50), run("avcl")])))
    (variants,) = [sheet for stem, sheet in found.items() if stem.endswith("variants")]
    assert [row[0] for row in variants.blocks[0].rows] == ["er (memory=50)"]
    assert len(variants.records) == 1
