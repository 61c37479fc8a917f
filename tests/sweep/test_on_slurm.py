"""A sweep as a job array of submitit, on its stand-in for a cluster: processes of this machine."""

from __future__ import annotations

import signal

import pytest
from rich.console import Console

from avbench.configuration import Layer
from avbench.errors import InputError, RunError
from avbench.experiment import RunInterruptedError, RunPreemptedError, run_experiment
from avbench.record_files import read_record
from avbench.records import comparable
from avbench.resolving import resolve
from avbench.resume.checkpointing import Checkpointer
from avbench.sweep.on_slurm import ArrayTask, minutes_of, submit, submit_array
from avbench.sweep.plan import plan_sweep
from avbench.sweep.state import states_of
from avbench.sweep.worker import RunOptions, settings_anywhere
from avbench.tracking import Tracking

OPTIONS = RunOptions()
# One checkpoint at the end of a task, none between two steps but that of a signal.
RARELY = RunOptions(checkpoint_minutes=1000)

SIGNALLED = '''
import os
import signal
from pathlib import Path

from avbench.method import Method

class Signalled(Method):
    """Be sent signals in the sixth step of eight, as a cluster does, in the first attempt."""

    paper = "none"

    def __init__(self, *, signals: str = "") -> None:
        super().__init__()
        self.signals = signals

    def before_forward(self, strategy, **kwargs):
        mark = Path(__file__).with_name(self.signals)
        if strategy.clock.train_iterations == 5 and not mark.exists():
            mark.touch()
            for name in self.signals.split():
                os.kill(os.getpid(), signal.Signals[name])
'''


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
    assert told == "1 runs: nothing to submit (1 done, 0 failed)"


@pytest.fixture
def signalled(tiny_stream, tmp_path):
    """`signalled(signals)` is the state of a run that is sent them in its midst, once."""
    plugin = tmp_path / "signalled.py"
    plugin.write_text(SIGNALLED)
    settings = {**tiny_stream, "threads": 1, "plugins": [*tiny_stream["plugins"], str(plugin)]}

    def make(signals):
        grid = {"strategy": "signalled", "strategy_options": {"signals": signals}}
        (state,) = states_of(plan_sweep([grid], below=[Layer("test", settings)]), tmp_path / "results")
        return state

    return make


@pytest.fixture
def called(tmp_path):
    """A call that makes a run as a job does, in this process, and a list of what submitit's handler gets."""
    received: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: received.append(number))

    def make(state):
        return ArrayTask()(state.run.settings, str(tmp_path / "results"), str(state.log), RARELY)

    yield make, received
    signal.signal(signal.SIGUSR2, before)


def test_what_the_cluster_ends_is_saved_and_queued_and_goes_on(signalled, tmp_path) -> None:
    # A job that is preempted is sent both, one that reaches its time limit the second.
    state = signalled("SIGTERM SIGUSR2")
    (job,) = submit_array(
        [state], results=tmp_path / "results", threads=1, settings=["time=10"], options=RARELY,
        cluster="local",
    )  # fmt: skip
    assert job.result() == ""
    record = read_record(state.record)
    assert len(record.timing.resumed) == 1
    log = state.log.read_text()
    # Six steps were done; the checkpoint before was that of the first task's end, after four.
    assert "task 2/2, epoch 1/2, 2 steps done" in log
    assert log.count("Stopping after this step, or in 60 s: the cluster asks for it") == 1
    assert job.stdout().count("Requeued job") == 1

    # The signals' mark is there: this one runs through.
    whole = run_experiment(
        resolve([Layer("test", state.run.settings)]), results=tmp_path / "whole", console=Console(quiet=True)
    )
    assert comparable(record) == comparable(whole.record)
    assert not whole.record.timing.resumed


def test_submitit_s_handler_comes_after_the_checkpoint_and_waits_for_no_log(
    signalled, called, monkeypatch, tmp_path
) -> None:
    left = []
    monkeypatch.setattr(Tracking, "leave", lambda self: left.append(True))
    state, (call, received) = signalled("SIGUSR2"), called
    # This handler ends no process, so that the call does.
    with pytest.raises(RunPreemptedError, match="goes on from the last checkpoint"):
        call(state)
    assert received == [signal.SIGUSR2]
    assert left == [True]
    assert call(state) == ""
    assert left == [True]
    assert "task 2/2, epoch 1/2, 2 steps done" in state.log.read_text()
    assert read_record(state.record).finished


def test_a_request_to_terminate_alone_saves_and_ends_nothing(
    signalled, called, monkeypatch, tmp_path
) -> None:
    saved = []
    whole = Checkpointer.save

    def save(self, *, in_task) -> None:
        saved.append(in_task)
        whole(self, in_task=in_task)

    monkeypatch.setattr(Checkpointer, "save", save)
    state, (call, received) = signalled("SIGTERM"), called
    assert call(state) == ""
    # Two at the end of each task, and the one that was asked for.
    assert saved == [False, False, True, False, False]
    assert not read_record(state.record).timing.resumed
    assert received == []


def test_what_the_user_stops_is_not_queued_again(signalled, called) -> None:
    state, (call, received) = signalled("SIGINT"), called
    with pytest.raises(RunInterruptedError):
        call(state)
    assert received == []
    assert read_record(state.record).ending.how == "interrupted"


def test_outside_of_submitit_a_task_is_refused(runs, tmp_path) -> None:
    with pytest.raises(RunError, match="submitit does not handle SIGUSR2 here"):
        ArrayTask()(runs[0].settings, str(tmp_path), "log", OPTIONS)


def test_a_grace_time_is_in_seconds(runs, tmp_path) -> None:
    with pytest.raises(InputError, match="signal_delay_s=soon: wanted whole seconds"):
        submit(
            states_of(runs, tmp_path), results=tmp_path, threads=1, settings=["signal_delay_s=soon"],
            options=OPTIONS, cluster="local",
        )  # fmt: skip


def test_without_slurm_it_says_so(runs, tmp_path) -> None:
    with pytest.raises(InputError, match="--on slurm: Could not detect"):
        submit(states_of(runs, tmp_path), results=tmp_path, threads=1, options=OPTIONS)


@pytest.mark.parametrize(("setting", "wanted"), [("gpu", "wanted key=value"), ("tme=3", "tme")])
def test_a_setting_that_cannot_be_is_refused(runs, tmp_path, setting, wanted) -> None:
    states = states_of(runs, tmp_path)
    with pytest.raises(InputError, match=wanted):
        submit(states, results=tmp_path, threads=1, settings=[setting], options=OPTIONS, cluster="local")


def test_how_long_a_job_may_take_must_be_said(runs, tmp_path) -> None:
    with pytest.raises(InputError, match="give --slurm time="):
        submit(states_of(runs, tmp_path), results=tmp_path, threads=1, options=OPTIONS, cluster="local")


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("600", 600), ("10:30", 11), ("1:00:00", 60), ("1-0", 1440), ("2-12:30", 3630), ("0-1:0:1", 61)],
)
def test_times_are_read_as_sbatch_has_them(text, minutes) -> None:
    assert minutes_of(text) == minutes


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "1:2:3:4", "1-", "1.5", "0:00"])
def test_what_is_no_time_is_refused(text) -> None:
    with pytest.raises(InputError, match="--slurm time="):
        minutes_of(text)


def test_paths_mean_the_same_in_another_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").touch()
    moved = settings_anywhere({"data": "store", "start": "shipped", "plugins": ["mine.py", "a.b:C"]})
    assert moved == {
        "data": str(tmp_path / "store"), "start": "shipped", "plugins": [str(tmp_path / "mine.py"), "a.b:C"],
    }  # fmt: skip
