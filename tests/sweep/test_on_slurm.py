"""A sweep as a job array of submitit, on its stand-in for a cluster: processes of this machine."""

from __future__ import annotations

import pytest

from avbench.configuration import Layer
from avbench.errors import InputError
from avbench.record_files import read_record
from avbench.sweep.on_slurm import ArrayTask, submit, submit_array
from avbench.sweep.plan import plan_sweep
from avbench.sweep.state import states_of
from avbench.sweep.worker import RunOptions, settings_anywhere

OPTIONS = RunOptions()


@pytest.fixture
def runs(tiny_stream):
    return plan_sweep([{"strategy": "finetune"}], below=[Layer("test", {**tiny_stream, "threads": 1})])


def test_every_run_that_waits_is_a_task_of_the_array(runs, tmp_path) -> None:
    states = states_of(runs, tmp_path)
    (job,) = submit_array(
        states, results=tmp_path, threads=1, settings=["time=10"], options=OPTIONS, cluster="local"
    )
    assert job.result() == ""
    assert read_record(states[0].record).finished
    told = submit(states_of(runs, tmp_path), results=tmp_path, threads=1, options=OPTIONS, cluster="local")
    assert told == "1 runs: nothing to submit"


def test_a_task_that_reaches_its_time_limit_is_submitted_again(runs, tmp_path) -> None:
    again = ArrayTask().checkpoint(runs[0].settings, str(tmp_path), "log", OPTIONS)
    assert again.args == (runs[0].settings, str(tmp_path), "log", OPTIONS)
    assert isinstance(again.function, ArrayTask)


def test_without_slurm_it_says_so(runs, tmp_path) -> None:
    with pytest.raises(InputError, match="--on slurm: Could not detect"):
        submit(states_of(runs, tmp_path), results=tmp_path, threads=1, options=OPTIONS)


@pytest.mark.parametrize(("setting", "wanted"), [("gpu", "wanted key=value"), ("tme=3", "tme")])
def test_a_setting_that_cannot_be_is_refused(runs, tmp_path, setting, wanted) -> None:
    states = states_of(runs, tmp_path)
    with pytest.raises(InputError, match=wanted):
        submit(states, results=tmp_path, threads=1, settings=[setting], options=OPTIONS, cluster="local")


def test_paths_mean_the_same_in_another_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").touch()
    moved = settings_anywhere({"data": "store", "start": "shipped", "plugins": ["mine.py", "a.b:C"]})
    assert moved == {
        "data": str(tmp_path / "store"), "start": "shipped", "plugins": [str(tmp_path / "mine.py"), "a.b:C"],
    }  # fmt: skip
