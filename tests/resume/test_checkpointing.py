"""A run that is killed at any moment, and started again, ends as if it had not been killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from avbench.record_files import read_records
from avbench.records import comparable

# Imports once, then forks a process for every attempt, and kills it after a while drawn at random: imports
# are most of a small run's time. The parent never computes, so that its children may.
_KILLING = """
import io, json, os, random, signal, sys, time
from pathlib import Path
import warnings; warnings.simplefilter("ignore")
from rich.console import Console
from avbench.configuration import Layer
from avbench.experiment import run_experiment
from avbench.resolving import resolve

settings, results, kills, minutes, seed = json.loads(sys.argv[1])
draw = random.Random(seed)

def attempt(folder):
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        config = resolve([Layer("test", settings)])
        run_experiment(
            config, results=Path(folder), checkpoint_minutes=minutes, console=Console(file=sys.stderr)
        )
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)

began = time.monotonic()
assert os.waitpid(attempt(results + "/whole"), 0)[1] == 0, "the run that is not killed"
whole = time.monotonic() - began
killed = 0
while True:
    child = attempt(results + "/killed")
    if killed < kills:
        time.sleep(draw.uniform(0.0, 1.0) * whole)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, "an attempt failed"
        break
    killed += 1
print(json.dumps({"killed": killed}))
"""


def exhibits(results: Path) -> dict[str, NDArray[Any]]:
    """Return what the one run in `results` left for pictures: arrays by name, and their header."""
    (path,) = (results / "runs").glob("*/*/*.exhibits.npz")
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


@pytest.mark.parametrize(
    ("strategy", "kills"), [("avcl", 8), ("cls-er", 3), ("ewc", 3)], ids=["avcl", "cls-er", "ewc"]
)
def test_a_killed_run_ends_as_if_it_had_not_been_killed(tmp_path: Path, tiny_stream, strategy, kills) -> None:
    settings = {**tiny_stream, "strategy": strategy, "threads": 1}
    if strategy != "ewc":
        settings["memory"] = 6
    told = [settings, str(tmp_path), kills, 0, sum(map(ord, str(tmp_path)))]
    done = subprocess.run(
        [sys.executable, "-c", _KILLING, json.dumps(told)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (whole,), (killed,) = read_records(tmp_path / "whole"), read_records(tmp_path / "killed")
    assert comparable(killed) == comparable(whole)
    assert killed.finished
    of_whole, of_killed = exhibits(tmp_path / "whole"), exhibits(tmp_path / "killed")
    assert list(of_killed) == list(of_whole)
    for name, array in of_whole.items():
        assert of_killed[name].dtype == array.dtype, name
        assert of_killed[name].tobytes() == array.tobytes(), name
    # It went on as often as a kill came after a first checkpoint; the record counts what came into it.
    assert len(killed.timing.resumed) <= done.stderr.count("Going on where this run stopped") <= kills
    assert not list((tmp_path / "killed" / "checkpoints").glob("*/*/*"))
