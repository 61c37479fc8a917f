"""A sweep on this machine: finished runs stay, one that fails or dies stops no other."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from avbench.configuration import Layer
from avbench.devices import gpus
from avbench.errors import DataError, InputError
from avbench.lock import held, is_held
from avbench.record_files import read_record, write_record
from avbench.records import Ending, comparable
from avbench.sweep import local as sweep_local
from avbench.sweep.local import Slots, default_slots, run_here
from avbench.sweep.plan import plan_sweep
from avbench.sweep.state import RunState, settle, states_of, written
from avbench.sweep.view import summary
from avbench.sweep.worker import RunOptions

FAILS = '''
from avbench.method import Method

class FailsOnce(Method):
    """Raise at the first step of a seed, as long as there is no file that says otherwise."""

    paper = "none"

    def before_forward(self, strategy, **kwargs):
        from pathlib import Path
        if not Path(__file__).with_name("mended").exists():
            raise ValueError("this method is broken")
'''


# A run that is met in its midst by who looks twice a second.
LONG = {"strategy": "er", "memory": 6, "epochs": 8}


@pytest.fixture
def sweep(tiny_stream, tmp_path):
    """`sweep(grid, watch)` makes the runs of a grid in `tmp_path / "results"`, two at a time."""
    (tmp_path / "fails_once.py").write_text(FAILS)
    below = {**tiny_stream, "threads": 1}
    below["plugins"] = [*below["plugins"], str(tmp_path / "fails_once.py")]

    def run(grid, watch=lambda states: None, slots=2) -> list[RunState]:
        results = tmp_path / "results"
        states = states_of(plan_sweep([grid], below=[Layer("test", below)]), results)
        run_here(
            states,
            results=results,
            slots=Slots([None] * slots),
            options=RunOptions(checkpoint_minutes=0),
            watch=watch,
        )
        return states

    return run


def test_one_that_fails_does_not_stop_the_others_and_is_tried_again(sweep, tmp_path) -> None:
    grid = {"strategy": ["fails-once", "finetune"]}
    seen: list[int] = []
    states = sweep(grid, lambda states: seen.append(sum(each.state == "running" for each in states)))
    assert [each.state for each in states] == ["failed", "done"]
    assert max(seen) == 2
    assert summary(states) == "1 done, 1 failed"
    assert states[0].note == "ValueError: this method is broken"
    record = read_record(states[0].record)
    assert "Traceback" in record.ending.error
    written = states[1].record.stat().st_mtime_ns

    (tmp_path / "mended").touch()
    again = sweep(grid)
    assert [each.state for each in again] == ["done", "done"]
    # What was finished was not made again.
    assert states[1].record.stat().st_mtime_ns == written


def test_a_killed_run_is_told_and_goes_on_with_the_same_command(sweep, tmp_path) -> None:
    def kill(states) -> None:
        folder = tmp_path / "results" / "checkpoints"
        lock = states[0].record.with_name(f".{states[0].record.name}.lock")
        if is_held(states[0].record) and list(folder.glob("*/*/*/[0-9]*/state.pt")):
            os.kill(int(re.findall(r"process (\d+)", lock.read_text())[0]), signal.SIGKILL)

    (killed,) = sweep(LONG, kill)
    assert killed.state == "failed"
    assert killed.note == "its process was killed by signal 9; goes on with the same command"
    (done,) = sweep(LONG)
    assert done.state == "done"
    assert read_record(done.record).timing.resumed


def test_ctrl_c_stops_the_runs_and_they_go_on(sweep, tmp_path) -> None:
    seen: list[RunState] = []

    def stop(states) -> None:
        saved = list((tmp_path / "results" / "checkpoints").glob("*/*/*/[0-9]*/state.pt"))
        # Once: it is shown again while the runs are stopping, and a second Ctrl-C kills them.
        if saved and not seen:
            seen[:] = states
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(LONG, stop)
    assert summary(seen) == "0 done, 1 waiting, 0 failed"
    record = next((tmp_path / "results" / "runs").glob("*/*/*.json"))
    assert read_record(record).ending.how == "interrupted"
    assert not is_held(record)
    (done,) = sweep(LONG)
    stopped = read_record(done.record)
    assert stopped.finished
    assert stopped.timing.resumed
    done.record.unlink()
    (whole,) = sweep(LONG)
    assert comparable(read_record(whole.record)) == comparable(stopped)


def test_what_another_process_makes_is_waited_for(sweep, tmp_path) -> None:
    (done,) = sweep({"strategy": "finetune"})
    kept = done.record.read_bytes()
    done.record.unlink()
    shown: list[str] = []

    def other(states) -> None:
        shown.append(states[0].state)
        if len(shown) == 2:
            # The other process ends with a record.
            Path(done.record).write_bytes(kept)
            holding.__exit__(None, None, None)

    holding = held(done.record, "this run")
    holding.__enter__()
    (waited,) = sweep({"strategy": "finetune"}, other)
    assert shown[0] == "elsewhere"
    assert waited.state == "done"
    assert done.record.read_bytes() == kept


def test_slots_are_gpus_or_cores() -> None:
    assert default_slots(None, gpus=[], cores=8, threads=2).free == [None] * 4
    assert default_slots(None, gpus=[], cores=2, threads=4).free == [None]
    assert default_slots(3, gpus=[], cores=2, threads=1).free == [None] * 3
    assert default_slots(None, gpus=["2", "5"], cores=8, threads=1).free == ["2", "5"]
    assert default_slots(3, gpus=["2", "5"], cores=8, threads=1).free == ["2", "5", "2"]
    with pytest.raises(InputError, match="less than 1"):
        default_slots(0, gpus=[], cores=1, threads=1)


def test_gpus_are_those_that_this_process_may_use(monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-8932f937")
    assert gpus() == ["3", "GPU-8932f937"]


@pytest.fixture
def state(tiny_stream, tmp_path, make_record) -> RunState:
    """A run that was started, after an earlier attempt that was stopped."""
    (state,) = states_of(
        plan_sweep([{"strategy": "finetune"}], below=[Layer("test", {**tiny_stream, "threads": 1})]), tmp_path
    )
    write_record(
        make_record("finetune").model_copy(update={"ending": Ending(how="interrupted")}), state.record
    )
    state.record_before, state.state = written(state.record), "running"
    state.log.parent.mkdir(parents=True)
    state.log.write_text("Error: this run is held by process 7\n")
    return state


def test_a_run_that_another_process_finished_or_makes_is_not_failed(state, make_record) -> None:
    with held(state.record, "this run"):
        settle(state, 1)
        assert state.state == "elsewhere"
        # Killed: what holds it are its own loader processes, so it is not waited for and started again.
        settle(state, -9)
        assert state.state == "failed"
    write_record(make_record("finetune"), state.record)
    settle(state, 1)
    assert (state.state, state.note) == ("done", "")


def test_the_record_of_an_earlier_attempt_does_not_say_why_this_one_failed(state) -> None:
    settle(state, 1)
    assert state.note == "Error: this run is held by process 7"
    state.record_before = None
    settle(state, 1)
    assert state.note == "stopped; goes on with the same command"
    state.record.unlink()
    settle(state, 0)
    assert "ended well, but there is no finished record" in state.note


def test_one_that_cannot_be_started_does_not_stop_the_others(sweep, monkeypatch) -> None:
    whole = sweep_local.write_text

    def full(path, text, what) -> None:
        if "fails-once" in text:
            raise DataError("the settings could not be written: No space left on device")
        whole(path, text, what)

    monkeypatch.setattr(sweep_local, "write_text", full)
    states = sweep({"strategy": ["fails-once", "finetune"]}, slots=1)
    assert [each.state for each in states] == ["failed", "done"]
    assert "it could not be started: the settings" in states[0].note


def test_whatever_ends_a_sweep_leaves_no_run_behind(sweep, tmp_path) -> None:
    seen: list[RunState] = []

    def fail(states) -> None:
        seen[:] = states
        if is_held(states[0].record):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        sweep({"strategy": "finetune"}, fail)
    assert not is_held(seen[0].record)
    assert summary(seen) in ("0 done, 1 waiting, 0 failed", "1 done, 0 failed")
