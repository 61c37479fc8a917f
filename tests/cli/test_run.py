"""`avbench run` from a shell: its result, its mistakes, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avbench.cli import main
from avbench.record_files import read_records
from avbench.store.reading import ClipEntry
from avbench.store.writer import StoreWriter

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


@pytest.fixture
def call(monkeypatch, capsys):
    """`call(command)` is `avbench` as a shell starts it, in this process: exit code, output, errors."""
    monkeypatch.setenv("COLUMNS", "200")
    before = signal.getsignal(signal.SIGTERM)

    def run(command: list[str]) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["avbench", *command[3:]])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, before)


def test_a_run_ends_with_result_and_paths(command, call, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AVBENCH_DATA", str(tmp_path / "store"))
    command += ["--log", "csv"]
    code, output, errors = call(command)
    assert code == 0, errors
    for part in ("finetune on tiny-stream, seed 0 (noise", "first", "second", "average A", "forgetting F"):
        assert part in output
    kinds = {"record", "log", "table", "plot"}
    shown = [line.split(maxsplit=1) for line in output.splitlines()]
    paths = [(line[0], Path(line[1])) for line in shown if line and line[0] in kinds]
    assert {kind for kind, _ in paths} == kinds
    assert all(path.exists() for _, path in paths)
    assert (dict(paths)["log"] / "values.csv").is_file()
    assert "task 2/2 second, epoch 1/1" in errors
    code, output, _ = call(command)
    assert code == 0
    assert "so nothing was logged; --again repeats it" in output


def test_all_mistakes_at_once_without_a_traceback(command, call, tmp_path) -> None:
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
    code, _, errors = call([*command, *wrong])
    assert code == 2
    for part in ("did you mean finetune?", "epochs: ", "did you mean epochs?", "there is no folder"):
        assert part in errors
    assert "Traceback" not in errors


def test_an_unknown_logger_is_an_error_before_the_run(command, call, tmp_path) -> None:
    code, _, errors = call([*command, "--log", "csv,wand"])
    assert code == 2
    assert "there is no logger 'wand' (did you mean wandb?)" in errors
    assert not (tmp_path / "results").exists()


def test_unknown_option_is_a_usage_error(command, call) -> None:
    code, _, errors = call([*command, "--strateg", "er"])
    assert code == 2
    assert "--strategy" in errors


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
