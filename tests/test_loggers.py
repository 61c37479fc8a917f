"""What loggers wrote is read back; they go on after a kill, and say so when they cannot."""

from __future__ import annotations

import importlib.machinery
import json
import resource
import threading
import time
from importlib import util
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from avbench import loggers
from avbench.errors import InputError
from avbench.loggers import OpenLogger, check_kinds, open_loggers, parse_kinds

HEADER: dict[str, Any] = {
    "scenario": "vggsound-stream",
    "strategy": "er",
    "seed": 1,
    "identity": "0123456789ab",
    "configuration": {"learning_rate": 1e-3, "strategy_options": {"capacity": 6}},
}


def open_one(kind: str, folder: Path, at_step: int = 0) -> OpenLogger:
    (only,) = open_loggers(check_kinds([kind]), folder, HEADER, at_step=at_step)
    return only


def write(kind: str, folder: Path, steps: range, at_step: int = 0, factor: float = 0.1) -> None:
    """Log a loss of a tenth of the step."""
    log = open_one(kind, folder, at_step)
    for step in steps:
        log.logger.log_single_metric("loss/step", factor * step, step)
    log.flush()
    log.close(True)


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_kinds_are_named_by_their_text() -> None:
    assert parse_kinds("csv, tensorboard,csv") == ("tensorboard", "csv")
    with pytest.raises(
        InputError, match=r"--log: there is no logger 'tensorbord' \(did you mean tensorboard\?\)"
    ):
        parse_kinds("csv,tensorbord")
    with pytest.raises(InputError, match="there is no logger ''"):
        parse_kinds("")


@pytest.mark.parametrize(
    "spec", [None, importlib.machinery.ModuleSpec("wandb", None)], ids=["gone", "a folder"]
)
def test_a_package_that_is_missing_is_an_error_that_says_how_to_get_it(monkeypatch, spec) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: spec if name == "wandb" else util.find_spec(name))
    assert check_kinds(["tensorboard", "csv"]) == ("tensorboard", "csv")
    with pytest.raises(InputError, match=r"--log wandb needs .* pip install 'avbench\[wandb\]'"):
        check_kinds(["csv", "wandb"])


def test_csv_is_tidy_and_exact(tmp_path) -> None:
    log = open_one("csv", tmp_path)
    log.logger.log_single_metric("A2V R@1/sports, music", 1 / 3, 0)
    log.logger.log_single_metric("memory bytes/parameters", 2**40 + 1, 3)
    log.flush()
    # What was flushed is there, whatever becomes of the process.
    table = pd.read_csv(tmp_path / "csv" / "values.csv", float_precision="round_trip")
    log.close(True)
    assert list(table.columns) == ["step", "name", "value"]
    assert table.step.tolist() == [0, 3]
    assert table.name.tolist() == ["A2V R@1/sports, music", "memory bytes/parameters"]
    assert table.value.tolist() == [1 / 3, 2**40 + 1]
    assert json.loads((tmp_path / "csv" / "configuration.json").read_text()) == HEADER


def test_csv_goes_on_where_the_checkpoint_was(tmp_path) -> None:
    path = tmp_path / "csv" / "values.csv"
    write("csv", tmp_path, range(6))
    with path.open("a") as file:
        file.write("6,loss/st")  # a power cut
    write("csv", tmp_path, range(3, 8), at_step=3)
    table = pd.read_csv(path, float_precision="round_trip")
    # Step 3 was logged before the checkpoint and is not repeated; 4 and 5 were taken again.
    assert table.step.tolist() == list(range(8))
    assert table.value.tolist() == [0.1 * step for step in range(8)]
    write("csv", tmp_path, range(2))
    assert pd.read_csv(path).step.tolist() == [0, 1]


def test_a_foreign_csv_is_not_touched(tmp_path) -> None:
    path = tmp_path / "csv" / "values.csv"
    path.parent.mkdir()
    path.write_text("epoch,accuracy\n1,0.5\n")
    with pytest.raises(InputError, match=r"--log csv cannot start.*values\.csv is not a log of avbench"):
        open_one("csv", tmp_path, at_step=3)
    assert path.read_text() == "epoch,accuracy\n1,0.5\n"


def test_tensorboard_holds_values_and_configuration(tmp_path) -> None:
    write("tensorboard", tmp_path, range(3))
    assert scalars(tmp_path, "loss/step") == [(0, 0.0), (1, pytest.approx(0.1)), (2, pytest.approx(0.2))]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    (text,) = events.Tensors("configuration/text_summary")
    assert "    learning_rate: 0.001" in text.tensor_proto.string_val[0].decode()


def test_tensorboard_hides_what_was_logged_after_the_checkpoint(tmp_path) -> None:
    write("tensorboard", tmp_path, range(6), factor=-1)
    # Its files are named by the second in which they began, and read in that order.
    time.sleep(1.01 - time.time() % 1)
    write("tensorboard", tmp_path, range(4, 8), at_step=3, factor=1)
    assert scalars(tmp_path, "loss/step") == [
        (0, 0),
        (1, -1),
        (2, -2),
        (3, -3),
        (4, 4),
        (5, 5),
        (6, 6),
        (7, 7),
    ]
    write("tensorboard", tmp_path, range(2))
    assert [step for step, _ in scalars(tmp_path, "loss/step")] == [0, 1]


@pytest.mark.parametrize("kind", ["csv", "tensorboard"])
def test_a_file_that_cannot_grow_is_an_error_at_once(tmp_path, kind, monkeypatch) -> None:
    """As a full disk; the limit is the operating system's on the size of this process's files."""
    # TensorBoard's thread that writes says it as well.
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    log = open_one(kind, tmp_path)
    log.flush()

    def go_on() -> None:
        for step in range(1000):
            log.logger.log_single_metric("loss/step", 0.1 * step, step)
            log.flush()

    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, unlimited[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            go_on()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)


@pytest.mark.parametrize("kind", loggers.KINDS)
def test_a_folder_that_cannot_be_made_is_an_error_before_the_run(tmp_path, kind) -> None:
    (tmp_path / "logs").write_text("in the way")
    with pytest.raises(InputError, match=f"--log {kind} cannot start in .*choose another folder"):
        open_one(kind, tmp_path / "logs")


def test_what_wandb_could_not_save_is_found_in_its_own_log(tmp_path) -> None:
    lines = [
        '{"level":"INFO","msg":"stream: started"}',
        '{"level":"ERROR","msg":"writer: failed to save record: write run.wandb: no space left on device"}',
    ]
    (tmp_path / "debug-internal.log").write_text("\n".join(lines))
    assert loggers._unsaved_entries(tmp_path / "debug-internal.log") == lines[1:]
    assert loggers._unsaved_entries(tmp_path / "none.log") == []


def test_wandb_switched_off_is_not_taken_for_logging(tmp_path, wandb_mode) -> None:
    wandb_mode("disabled")
    with pytest.raises(InputError, match=r"--log wandb cannot start.*WANDB_MODE=disabled"):
        open_one("wandb", tmp_path)
