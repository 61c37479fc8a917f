"""A sweep on a real local Ray cluster, with a worker killed in the midst of a run."""

from __future__ import annotations

import os
import re
import signal

import pytest

from avbench.configuration import Layer
from avbench.lock import is_held
from avbench.record_files import read_record
from avbench.records import comparable
from avbench.sweep.local import Slots, run_here
from avbench.sweep.on_ray import run_on_ray
from avbench.sweep.plan import plan_sweep
from avbench.sweep.state import RunState, states_of
from avbench.sweep.worker import RunOptions

OPTIONS = RunOptions(checkpoint_minutes=0)


@pytest.fixture
def states(tiny_stream, tmp_path):
    """`states(results)` are two runs, one of a method whose constructor's value is fine but that fails."""
    broken = tmp_path / "broken.py"
    broken.write_text(
        "from avbench.method import Method\n\nclass Broken(Method):\n"
        '    """Fail."""\n\n    paper = "none"\n\n'
        "    def before_forward(self, strategy, **kwargs):\n        raise ValueError('broken on purpose')\n"
    )
    below = {**tiny_stream, "threads": 1, "plugins": [*tiny_stream["plugins"], str(broken)]}
    # Long enough to be met in its midst by who looks twice a second.
    grids = [{"strategy": "er", "memory": 6, "epochs": 8}, {"strategy": "broken"}]

    def make(results) -> list[RunState]:
        return states_of(plan_sweep(grids, below=[Layer("test", below)]), results)

    return make


def test_a_killed_worker_s_run_goes_on_to_the_same_result(states, tmp_path) -> None:
    killed: list[int] = []

    def kill(runs: list[RunState]) -> None:
        record = runs[0].record
        saved = list((tmp_path / "ray" / "checkpoints").glob("*/er/*/*/state.pt"))
        if not killed and saved and is_held(record):
            lock = record.with_name(f".{record.name}.lock").read_text()
            killed.append(int(re.findall(r"process (\d+)", lock)[0]))
            os.kill(killed[0], signal.SIGKILL)

    runs = states(tmp_path / "ray")
    run_on_ray(runs, results=tmp_path / "ray", threads=1, jobs=1, options=OPTIONS, watch=kill)
    assert killed, "the run ended before it could be killed"
    assert [each.state for each in runs] == ["done", "failed"]
    assert runs[1].note == "ValueError: broken on purpose"
    assert "Traceback" in read_record(runs[1].record).ending.error
    record = read_record(runs[0].record)
    assert len(record.timing.resumed) == 1
    assert "Going on where this run stopped" in runs[0].log.read_text()

    here = states(tmp_path / "here")[:1]
    slots = Slots([None])
    run_here(here, results=tmp_path / "here", slots=slots, options=OPTIONS, watch=lambda _: None)
    assert comparable(read_record(here[0].record)) == comparable(record)
    # Nothing is left to do for the same sweep.
    assert states(tmp_path / "ray")[0].state == "done"
