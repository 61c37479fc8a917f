"""What a grid stands for."""

from __future__ import annotations

import pytest

from avbench.configuration import Layer
from avbench.errors import InputError
from avbench.sweep.plan import grid_of_texts, plan_sweep, read_grids


def labels(*grids, **below):
    return [run.label for run in plan_sweep(grids, below=[Layer("below", below)])]


def test_a_run_for_every_combination_in_order() -> None:
    grid = {"strategy": ["er", "avcl"], "seeds": 2, "memory": [50, "1MiB"]}
    assert labels(grid) == [
        f"{strategy} vggsound-stream memory={memory} seed={seed}"
        for strategy in ("er", "avcl")
        for memory in (50, "1MiB")
        for seed in (0, 1)
    ]


def test_both_streams_and_chosen_seeds() -> None:
    grid = {"strategy": "er", "scenario": ["vggsound-stream", "audioset-stream"], "seeds": [0, 7]}
    found = labels(grid)
    assert len(found) == 4
    assert found[-1] == "er audioset-stream seed=7"


def test_a_run_that_two_grids_name_is_made_once() -> None:
    # 200 is the memory that the tiny backbone has by itself: the same run, said otherwise.
    found = labels({"strategy": "er"}, {"strategy": "er", "memory": [200, 100]})
    assert found == ["er vggsound-stream seed=0", "er vggsound-stream memory=100 seed=0"]


def test_what_holds_for_all_runs_is_in_their_settings() -> None:
    (run,) = plan_sweep(
        [{"strategy": "er", "epochs": 3}], below=[Layer("below", {"threads": 1, "epochs": 9})]
    )
    assert run.settings == {"threads": 1, "epochs": 3, "strategy": "er"}
    assert (run.plan.config.threads, run.plan.config.epochs) == (1, 3)


def test_the_command_line_separates_values_by_commas() -> None:
    grid = grid_of_texts({"strategy": "er, avcl", "seeds": "3"}, ["memory=500,16MiB", "betas=[0.9, 0.99]"])
    assert grid == {"strategy": ["er", "avcl"], "seeds": 3, "memory": [500, "16MiB"], "betas": [0.9, 0.99]}


@pytest.mark.parametrize(
    ("texts", "assignments", "wanted"),
    [
        ({}, ["memory"], "wanted key=value"),
        ({"strategy": "er,,avcl"}, [], "a value is missing|cannot be read"),
        ({"strategy": ""}, [], "a value is missing"),
        ({}, ["memory=[1"], "cannot be read"),
        ({}, ["memory=1", "memory=2"], "memory is given twice"),
        ({"strategy": "er"}, ["strategy=avcl"], "strategy is given twice"),
    ],
)
def test_what_cannot_be_read_is_refused(texts, assignments, wanted) -> None:
    with pytest.raises(InputError, match=wanted):
        grid_of_texts(texts, assignments)


@pytest.mark.parametrize("seeds", [0, -1, True, "three", [], [0, -1], [True]])
def test_seeds_are_a_number_or_a_list(seeds) -> None:
    with pytest.raises(InputError, match=r"seeds: wanted a number of seeds|seed: no value"):
        plan_sweep([{"strategy": "er", "seeds": seeds}])


def test_every_mistake_is_told_once() -> None:
    with pytest.raises(InputError) as told:
        plan_sweep([{"strategy": ["er", "avlc", "finetune"], "memory": [50, 100], "seeds": 3}])
    text = str(told.value)
    assert text.count("there is no strategy 'avlc'") == 1
    assert "avcl" in text
    assert text.count("'finetune' has no rehearsal memory") == 1


def test_grids_are_read_from_a_file(tmp_path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("- strategy: [er, avcl]\n  seeds: 3\n- strategy: mir\n")
    assert read_grids(path) == [{"strategy": ["er", "avcl"], "seeds": 3}, {"strategy": "mir"}]
    path.write_text("strategy: er\n")
    assert read_grids(path) == [{"strategy": "er"}]


@pytest.mark.parametrize("content", ["", "[]", "er", "- er", "- {}", "a: [", "\x00", "1: 2"])
def test_a_file_without_grids_is_refused(tmp_path, content) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=r"grid\.yaml"):
        read_grids(path)
    with pytest.raises(InputError, match="No such file"):
        read_grids(tmp_path / "missing.yaml")
