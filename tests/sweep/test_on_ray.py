"""A sweep on a real local Ray cluster, with a worker killed in the midst of a run."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from avbench.configuration import Layer
from avbench.errors import InputError
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


def sender(number: signal.Signals, results: Path, sent: list[int]):
    """Return who sends a signal to the process that makes the first run, once, when it has a checkpoint."""

    def send(runs: list[RunState]) -> None:
        record = runs[0].record
        saved = list((results / "checkpoints").glob("*/er/*/[0-9]*/state.pt"))
        if not sent and saved and is_held(record):
            lock = record.with_name(f".{record.name}.lock").read_text()
            sent.append(int(re.findall(r"process (\d+)", lock)[0]))
            os.kill(sent[0], number)

    return send


def test_a_worker_that_is_asked_to_end_saves_and_its_run_goes_on(states, tmp_path) -> None:
    runs, sent = states(tmp_path)[:1], []
    terminate = sender(signal.SIGTERM, tmp_path, sent)
    run_on_ray(runs, results=tmp_path, threads=1, jobs=1, options=OPTIONS, watch=terminate)
    assert sent, "the run ended before its worker could be asked to"
    assert (runs[0].state, runs[0].note) == ("done", "")
    log = runs[0].log.read_text()
    assert "Stopping after this step" in log
    assert "Going on where this run stopped" in log
    assert len(read_record(runs[0].record).timing.resumed) == 1


def test_a_killed_worker_s_run_goes_on_to_the_same_result(states, tmp_path) -> None:
    runs, killed = states(tmp_path / "ray"), []
    kill = sender(signal.SIGKILL, tmp_path / "ray", killed)
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


@pytest.mark.parametrize(
    ("threads", "device", "wanted"),
    [
        (3, "cpu", "no node of the cluster has 3 CPU cores for"),
        (1, "cuda:0", "has 1 CPU cores and a GPU for"),
    ],
)
def test_a_run_that_no_node_has_room_for_is_refused(tiny_stream, tmp_path, threads, device, wanted) -> None:
    import ray

    (run,) = plan_sweep([{"strategy": "er"}], below=[Layer("test", tiny_stream)])
    # Planned for a GPU on a machine that has none: the cluster's nodes are others.
    config = run.plan.config.model_copy(update={"device": device})
    runs = states_of([replace(run, plan=replace(run.plan, config=config))], tmp_path)
    # A cluster that is there already, smaller than the run, as one that RAY_ADDRESS names may be.
    ray.init(num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        with pytest.raises(InputError, match=wanted):
            run_on_ray(runs, results=tmp_path, threads=threads, options=OPTIONS, watch=lambda _: None)
        # Nor is the cluster of others ended.
        assert ray.is_initialized()
    finally:
        ray.shutdown()
