"""Sections about stages, cost, statistics, pictures and records: their items, numbers and gaps."""

from __future__ import annotations

from typing import Any

import pytest

from avbench.errors import DataError
from avbench.exhibits.file import exhibits_path, write_exhibits
from avbench.records import DIRECTIONS, Ending, Environment
from avbench.report.content import Listing, Picture, Sheet, Words
from avbench.report.efficiency import efficiency
from avbench.report.pictures import pictures
from avbench.report.provenance import provenance, summary
from avbench.report.stages import stages
from avbench.report.statistics import statistics


def of(kind: Any, section: Any) -> list[Any]:
    return [item for item in section.items if isinstance(item, kind)]


def told(section: Any) -> str:
    return " ".join(item.text for item in of(Words, section))


def test_every_entry_has_a_heat_map_with_its_numbers(study: Any, run: Any) -> None:
    section = stages(study([run("er"), run("er", 1), run("er", capacity=50), run("multitask", joint=True)]))
    found = {
        picture.stem.removeprefix("vggsound-stream-rendered-tiny-"): picture
        for picture in of(Picture, section)
    }
    heat_maps = [stem for stem in found if stem.startswith("stages-")]
    assert len(heat_maps) == 3
    assert all(found[stem].folded for stem in heat_maps)
    numbers = found["stages-multitask"].numbers
    assert len(numbers.blocks[0].rows) == len(DIRECTIONS) * 8
    gap = found["modality-gap"]
    # A joint method has no stages to draw along.
    assert {row[0] for row in gap.numbers.blocks[0].rows} == {"er"}
    assert len(gap.numbers.blocks[0].rows) == 8 * 8
    assert gap.numbers.blocks[0].rows[0][4].value == 0.5


def test_without_finished_runs_curves_are_missing_in_words(study: Any, run: Any) -> None:
    failed = {"ending": Ending(how="failed", error="boom"), "summary": {}, "memory": None}
    found = study([run("er", **failed)])
    assert told(stages(found)).count("missing") == 2
    assert told(efficiency(found)).count("missing") == 3
    assert not of(Picture, stages(found))


def test_costs_and_the_published_ones_are_two_tables(study: Any, run: Any) -> None:
    ours, published = of(Sheet, efficiency(study([run("er"), run("avcl")])))
    assert "not to be compared" in published.caption
    assert any("stream per second" in note for note in ours.notes)
    assert not any("Zero-shot" in note for note in ours.notes)


def test_throughput_is_drawn_where_all_runs_were_made_on_one_machine(study: Any, run: Any) -> None:
    def stems(*records: Any) -> set[str]:
        section = efficiency(study(list(records)))
        found = {picture.stem.rpartition("-")[2] for picture in of(Picture, section)}
        assert ("Throughput is not drawn" in told(section)) == ("throughput" not in found)
        return found

    other = Environment(versions={}, hardware={"processor": "another"}, device="cpu", commit=None, dirty=None)
    assert stems(run("er"), run("avcl")) == {"memory", "throughput"}
    assert stems(run("er"), run("avcl", environment=other)) == {"memory"}


def test_all_methods_are_compared_with_the_papers(study: Any, run: Any) -> None:
    section = statistics(
        study([run(name, seed) for name in ("avcl", "er", "finetune") for seed in (0, 1, 2)])
    )
    pairs, ranks = of(Sheet, section)
    assert [row[:2] for row in pairs.blocks[0].rows] == [("er", "avcl"), ("finetune", "avcl")]
    assert len(ranks.blocks[0].rows) == 3
    assert "3 seeds cannot reach p < 0.25" in told(section)


def test_without_the_papers_method_every_two_are_compared(study: Any, run: Any) -> None:
    pairs, _ = of(Sheet, statistics(study([run(name) for name in ("er", "mir", "finetune")])))
    assert len(pairs.blocks[0].rows) == 3


def test_lacking_seeds_are_told(study: Any, run: Any) -> None:
    runs = [run("avcl", seed) for seed in (0, 1, 2)]
    runs += [run("er", 0), run("er", 2, ending=Ending(how="failed", error="boom"), summary={})]
    pairs, ranks = of(Sheet, statistics(study(runs)))
    assert pairs.blocks[0].rows[0][2] == "0 (er: missing 1; failed 2)"
    assert [row[2].text for row in ranks.blocks[0].rows][1] == "not ranked"


def test_one_method_alone_is_compared_with_nothing(study: Any, run: Any) -> None:
    assert "fewer than two methods" in told(statistics(study([run("avcl")])))


def test_pictures_are_of_the_first_run_that_left_some(study: Any, run: Any, make_exhibits: Any) -> None:
    found = study([run("avcl", 0), run("avcl", 1), run("er")])
    record = next(each for each in found.records if (each.strategy, each.seed) == ("avcl", 1))
    path = exhibits_path(found.folder / found.path_of(record))
    write_exhibits(make_exhibits(record), path)
    section = pictures(found)
    made = of(Picture, section)
    assert [picture.stem.rpartition("tiny-")[2] for picture in made] == [
        "gallery-avcl", "selection-avcl-1", "selection-avcl-2",
    ]  # fmt: skip
    assert all(picture.records == (found.path_of(record),) for picture in made)
    assert path.name in made[0].caption
    assert "no run of er here" in told(section)


def test_damaged_exhibits_are_an_error_that_names_them(study: Any, run: Any) -> None:
    found = study([run("avcl")])
    path = exhibits_path(found.folder / found.paths[0])
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=path.name):
        pictures(found)


def test_failed_and_missing_runs_are_listed(study: Any, run: Any) -> None:
    failed = run("er", 1, ending=Ending(how="failed", error="Traceback\nValueError: boom\n"), summary={})
    found = study([run("er", 0), failed, run("avcl", 0)])
    section = provenance(found)
    (absent,) = [sheet for sheet in of(Sheet, section) if sheet.stem == "missing-and-failed"]
    assert [row[1:] for row in absent.blocks[0].rows] == [
        ("avcl", "1", "missing", ""),
        ("er", "1", "failed", "ValueError: boom"),
    ]
    assert summary(found)[0] == "3 records of 2 methods; 2 finished, 1 did not."


def test_what_runs_noted_is_shown(study: Any, run: Any) -> None:
    found = study([run("er", notes=["logging stopped: disk full"]), run("avcl")])
    (noted,) = [sheet for sheet in of(Sheet, provenance(found)) if sheet.stem == "noted"]
    assert [row[1] for row in noted.blocks[0].rows] == ["logging stopped: disk full"]
    assert len(noted.records) == 1


def test_environments_and_what_differs(study: Any, run: Any) -> None:
    other = Environment(
        versions={"torch": "2.14"},
        hardware={"processor": "other"},
        device="cpu",
        commit="0123456789abcdef",
        dirty=True,
    )
    section = provenance(study([run("er"), run("er", 1, environment=other), run("er", capacity=50)]))
    found = {sheet.stem: sheet for sheet in of(Sheet, section)}
    assert [row[-1] for row in found["environments"].blocks[0].rows] == ["2", "1"]
    assert [row[1:3] for row in found["what-differs"].blocks[0].rows] == [
        ("er", "memory=200"),
        ("er", "memory=50"),
    ]
    text = told(section)
    assert "1 of 3 runs were made from a tree with changes" in text
    assert "different machines" in text
    assert found["runs"].blocks[0].rows[0][0] in section.items[-2].blocks[0].rows[0][0]


def test_every_run_has_its_command(study: Any, run: Any) -> None:
    section = provenance(study([run("er"), run("er", 1, capacity=50)]))
    (commands,) = of(Listing, section)
    shared = "avbench run --strategy er --scenario vggsound-stream"
    assert set(commands.lines) == {
        f"{shared} --epochs 4 --device cpu",
        f"{shared} --seed 1 --memory 50 --epochs 4 --device cpu",
    }
