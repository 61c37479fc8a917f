"""The ablation: which runs are its rows, and that what was not run is missing."""

from __future__ import annotations

from typing import Any

from avbench.report.ablation import ablation, entries_of
from avbench.report.content import Sheet, Words


def sheets(section: Any) -> list[Sheet]:
    return [item for item in section.items if isinstance(item, Sheet)]


def every_variant(run: Any, **changes: Any) -> list[Any]:
    selections = [run("avcl", selection=each, **changes) for each in ("avcl", "lpis", "rca", "none")]
    return [run("random", **changes), run("mats", **changes), *selections]


def test_rows_are_the_papers(study: Any, run: Any) -> None:
    ours, published = sheets(ablation(study([*every_variant(run), run("er"), run("avcl", capacity=50)])))
    assert [row[:4] for row in ours.blocks[0].rows] == [
        ("Random", "no", "no", "1"),
        ("MATS", "no", "no", "1"),
        ("neither (all patches)", "no", "no", "1"),
        ("LPIS", "yes", "no", "1"),
        ("RCA", "no", "yes", "1"),
        ("LPIS and RCA (AVCL)", "yes", "yes", "1"),
    ]
    assert len(ours.records) == 6
    assert "rendered" in ours.caption
    # Published: both ideas, A 14.16 and F 4.38 from audio to video, with 17.45 GB.
    last = published.blocks[0].rows[-1]
    assert [cell.value for cell in last[3:]] == [14.16, 4.38, 14.07, 4.65, 17.45]
    assert "must not be compared" in published.caption


def test_variants_that_were_not_run_are_missing(study: Any, run: Any) -> None:
    section = ablation(study([run("avcl"), run("avcl", selection="rca"), run("random")]))
    ours = sheets(section)[0]
    missing = [row[0] for row in ours.blocks[0].rows if row[4].value is None]
    assert missing == ["MATS", "neither (all patches)", "LPIS"]
    assert all(row[4].text == "missing" for row in ours.blocks[0].rows if row[0] in missing)
    told = " ".join(item.text for item in section.items if isinstance(item, Words))
    assert "--strategy avcl --set selection=lpis" in told


def test_rows_share_their_memory_and_it_is_named_unless_the_default(study: Any, run: Any) -> None:
    (stream,) = study([*every_variant(run, capacity=100), run("avcl")]).streams
    shared, entries = entries_of(stream)
    assert shared == "capacity=100"
    assert all(entry is not None for entry in entries)


def test_one_variant_is_no_ablation(study: Any, run: Any) -> None:
    section = ablation(study([run("avcl"), run("er")]))
    assert [sheet.stem for sheet in sheets(section)] == ["published-ablation"]
    assert any(isinstance(item, Words) and item.text.startswith("Missing") for item in section.items)
