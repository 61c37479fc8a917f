"""`avbench run` from a shell: its result, its mistakes, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avbench.records import read_records
from avbench.store import ClipEntry
from avbench.store_writer import StoreWriter

SCENARIO = '''
from avbench.scenario import Scenario, Task

class TinyStream(Scenario):
    """Two tasks of one class each."""
    paper = "none"

    def tasks(self):
        return (Task("first", ("class 0",)), Task("second", ("class 1",)))
'''


@pytest.fixture
def command(tmp_path, store_format, encoded_clip) -> list[str]:
    """A command that runs fine-tuning on a few clips of noise."""
    (tmp_path / "tiny_stream.py").write_text(SCENARIO)
    with StoreWriter(tmp_path / "store", store_format, "noise", {}) as writer:
        for number in range(12):
            clip = encoded_clip(f"clip{number}")
            entry = ClipEntry(f"clip{number}", f"class {number % 2}", "train" if number < 8 else "test")
            writer.add(entry, clip.jpegs, clip.waveform, clip.spectrogram)
        writer.finish()
    return [
        sys.executable, "-m", "avbench", "run", "--strategy", "finetune", "--scenario", "tiny-stream",
        "--plugin", str(tmp_path / "tiny_stream.py"), "--results", str(tmp_path / "results"),
        "--start", "random", "--device", "cpu", "--epochs", "1", "--batch-size", "4", "--set", "frames=2",
    ]  # fmt: skip


def shell(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=env)


def test_a_run_ends_with_result_and_paths(command, tmp_path) -> None:
    done = shell(command, AVBENCH_DATA=str(tmp_path / "store"))
    assert done.returncode == 0, done.stderr
    for part in (
        "finetune on tiny-stream, seed 0 (noise clips)",
        "first",
        "second",
        "average A",
        "forgetting F",
    ):
        assert part in done.stdout
    shown = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    paths = [(line[0], Path(line[1])) for line in shown if line and line[0] in ("record", "table", "plot")]
    assert {kind for kind, _ in paths} == {"record", "table", "plot"}
    assert all(path.is_file() for _, path in paths)
    assert "task 2/2 second, epoch 1/1" in done.stderr
    again = shell(command, AVBENCH_DATA=str(tmp_path / "store"))
    assert again.returncode == 0
    assert "--again repeats it" in again.stdout


def test_all_mistakes_at_once_without_a_traceback(command, tmp_path) -> None:
    wrong = [
        "--strategy",
        "finetun",
        "--epochs",
        "many",
        "--set",
        "epoch=3",
        "--data",
        str(tmp_path / "gone"),
    ]
    done = shell([*command, *wrong])
    assert done.returncode == 2
    for part in ("did you mean finetune?", "epochs: ", "did you mean epochs?", "there is no folder"):
        assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_option_is_a_usage_error() -> None:
    done = shell([sys.executable, "-m", "avbench", "run", "--strateg", "er"])
    assert done.returncode == 2
    assert "--strategy" in done.stderr


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_run_can_be_stopped(command, tmp_path, stop) -> None:
    long = [*command, "--data", str(tmp_path / "store"), "--epochs", "100000"]
    process = subprocess.Popen(
        long, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("task 1/2"):
            break
    process.send_signal(stop)
    asked = time.monotonic()
    process.stderr.read()
    assert process.wait(timeout=30) == 130
    # Seconds, on a machine that may be busy.
    assert time.monotonic() - asked < 20
    (record,) = read_records(tmp_path / "results")
    assert record.ending.how == "interrupted"
