"""A run from configuration to record, on a store of a few clips of noise."""

from __future__ import annotations

import io
import json
import signal
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from avalanche.logging import BaseLogger
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from avbench import loggers
from avbench.configuration import Layer
from avbench.errors import InputError, RunError
from avbench.exhibits.file import exhibits_of
from avbench.experiment import RunInterruptedError, run_experiment
from avbench.findings import Findings
from avbench.lock import held
from avbench.loggers import KINDS, OpenLogger, TidyCSVLogger
from avbench.record_files import (
    log_folder,
    read_record,
    read_records,
    record_files,
)
from avbench.records import (
    DIRECTIONS,
    METRICS,
    RunRecord,
    comparable,
)
from avbench.resolving import resolve
from avbench.steps import LOSSES, StepReport
from avbench.training import ContinualPretraining


def test_a_run_leaves_a_full_record(go, tmp_path) -> None:
    outcome = go("er", memory=6)
    record = outcome.record
    assert read_record(outcome.path) == record
    assert outcome.path.parent == tmp_path / "runs" / "tiny-stream" / "er"
    assert not outcome.repeated
    assert record.finished
    assert (record.tasks, record.stages) == (["first", "second"], ["first", "second"])
    assert (record.gallery, record.queries) == (10, [4, 4])
    assert record.source == "noise"
    # Every rank is among the first ten of ten.
    assert record.recall["A2V"]["R@10"] == [[100, 100], [100, 100]]
    assert set(record.summary["V2A"]) == set(METRICS)
    assert record.configuration["strategy_options"] == {"capacity": 6}
    # Settings that depend on the clips are settled: these are not rendered, and 32 pixels high.
    assert record.configuration["augment"] is True
    assert record.configuration["window"] == 0.4
    assert record.configuration["frame_size"] == 32
    assert [(each.stage, each.epoch) for each in record.losses] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    weight = record.configuration["contrastive_weight"]
    for each in record.losses:
        loss, audio, video, contrast, added = (each.losses[name] for name in LOSSES)
        assert loss == pytest.approx(audio + video + weight * contrast, rel=1e-5)
        assert added == 0
    assert record.memory is not None
    assert record.memory.of("rehearsal memory") > 0
    assert record.memory.peak_step is not None
    assert record.memory.peak_step > record.memory.of("parameters")
    assert set(record.timing.phases) == {"prepare", "measure memory", "train", "evaluate", "save"}
    assert len(record.timing.stages) == 2
    assert record.timing.clips_per_second is not None
    assert record.environment.versions["torch"]


def test_the_same_seed_gives_the_same_record_to_the_bit(go, tmp_path) -> None:
    first, second = (go("er", memory=6, results=tmp_path / name).record for name in "ab")
    assert comparable(first) == comparable(second)
    other = go("er", memory=6, seed=1).record
    assert other.identity == first.identity
    assert other.losses != first.losses


def test_a_finished_run_is_not_repeated_unless_asked(go, monkeypatch) -> None:
    first = go()
    written = first.path.stat().st_mtime_ns

    def never(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    with monkeypatch.context() as patched:
        patched.setattr(ContinualPretraining, "train", never)
        again = go()
        assert again.repeated
        assert again.record == first.record
        with pytest.raises(AssertionError):
            go(again=True)
    # What failed did not take the place of what was finished.
    assert first.path.stat().st_mtime_ns == written
    assert not go(again=True).repeated


def stop_at_step(number: int, signals: int = 1):
    """An `on_step` of the findings in which the process is told to stop, `signals` times, at a step."""
    on_step, done = Findings.on_step, []

    def stopped(self: Findings, report: StepReport) -> None:
        if len(done) == number:
            for _ in range(signals):
                signal.raise_signal(signal.SIGINT)
        done.append(report)
        on_step(self, report)

    return stopped


@pytest.fixture(scope="module")
def whole(tiny_stream, tmp_path_factory) -> RunRecord:
    """A run that was not stopped."""
    config = resolve([Layer("test", {**tiny_stream, "strategy": "er", "memory": 6})])
    folder = tmp_path_factory.mktemp("whole")
    return run_experiment(config, results=folder, console=Console(file=io.StringIO())).record


# 8 clips in batches of 4, two epochs, two tasks: a task has 4 steps, the run 8. Stopped in the last one, it
# has no step left to take.
@pytest.mark.parametrize("steps", [0, 1, 3, 7])
def test_a_stopped_run_goes_on_to_the_same_result_to_the_bit(go, monkeypatch, tmp_path, whole, steps) -> None:
    monkeypatch.setattr(Findings, "on_step", stop_at_step(steps))
    with pytest.raises(RunInterruptedError, match="goes on from the last checkpoint"):
        go("er", memory=6)
    (record,) = read_records(tmp_path)
    assert record.ending.how == "interrupted"
    assert record.summary == {}
    monkeypatch.undo()
    resumed = go("er", memory=6)
    assert comparable(resumed.record) == comparable(whole)
    assert len(resumed.record.timing.resumed) == 1
    assert resumed.record.notes == []
    assert len(resumed.record.timing.stages) == 2
    # Nothing is left of the checkpoints of a finished run.
    assert not list((tmp_path / "checkpoints").glob("*/*/*"))


def test_a_run_that_goes_on_elsewhere_says_what_differs(go, monkeypatch, tmp_path, whole) -> None:
    monkeypatch.setattr(Findings, "on_step", stop_at_step(3))
    with pytest.raises(RunInterruptedError):
        go("er", memory=6)
    monkeypatch.undo()
    (path,) = sorted((tmp_path / "checkpoints").glob("*/*/*/*/checkpoint.json"))[-1:]
    about = json.loads(path.read_text())
    threads = about["machine"]["threads"]
    about["machine"] |= {"threads": "99", "processor": "an older one"}
    about["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(about))
    said = io.StringIO()
    record = go("er", memory=6, said=said).record
    (note,) = record.notes
    torch, processor = record.environment.versions["torch"], record.environment.hardware["processor"]
    differing = f"(torch 1.0 -> {torch}, processor an older one -> {processor}, threads 99 -> {threads})"
    assert note.startswith("the run went on, task 1/2, epoch 2/2, 2 steps done, otherwise than it was saved")
    assert differing in note
    (line,) = (line for line in said.getvalue().splitlines() if "otherwise than it was saved" in line)
    assert differing in line
    assert comparable(record) == comparable(whole)


def test_a_second_signal_stops_at_once(go, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(Findings, "on_step", stop_at_step(1, signals=2))
    with pytest.raises(RunInterruptedError, match="goes on from the start: nothing was saved"):
        go()
    monkeypatch.undo()
    assert go().record.finished


def test_a_repetition_that_is_stopped_goes_on_without_again(go, monkeypatch, tmp_path, whole) -> None:
    first = go("er", memory=6)
    monkeypatch.setattr(Findings, "on_step", stop_at_step(3))
    with pytest.raises(RunInterruptedError, match="The same command without --again goes on from the last"):
        go("er", memory=6, again=True)
    # The finished record stays until there is another.
    assert read_record(first.path) == first.record
    monkeypatch.undo()
    repeated = go("er", memory=6)
    assert len(repeated.record.timing.resumed) == 1
    assert comparable(repeated.record) == comparable(whole)
    assert go("er", memory=6).repeated


def test_a_repetition_over_a_damaged_record_says_what_ended_it(go, monkeypatch) -> None:
    path = go().path
    path.write_text("{")
    monkeypatch.setattr(Findings, "on_step", stop_at_step(1))
    with pytest.raises(RunInterruptedError):
        go(again=True)
    assert read_record(path).ending.how == "interrupted"


def test_an_interrupted_run_says_how_far_it_came(go, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(Findings, "on_step", stop_at_step(5))
    with pytest.raises(RunInterruptedError, match=r"interrupted after 1 of 2 stages"):
        go()
    (record,) = read_records(tmp_path)
    assert record.stages == ["first"]
    assert len(record.recall["A2V"]["R@1"]) == 1


def test_a_failed_run_keeps_its_traceback(go, monkeypatch, tmp_path) -> None:
    def fail(self: object, experience: object) -> None:
        raise RunError("the loss is nan at task 1")

    monkeypatch.setattr(ContinualPretraining, "train", fail)
    with pytest.raises(RunError, match="the loss is nan"):
        go()
    (record,) = read_records(tmp_path)
    assert record.ending.how == "failed"
    assert "RunError: the loss is nan at task 1" in record.ending.error
    assert record.stages == []


def test_two_processes_do_not_make_the_same_run(go) -> None:
    path = go().path
    with held(path, "this run"), pytest.raises(RunError, match=r"seed 0\) is held by process"):
        go(again=True)
    assert go().repeated


def test_a_damaged_record_is_not_taken_for_a_run(go) -> None:
    path = go().path
    path.write_text(json.dumps({"seed": 0}))
    with pytest.raises(Exception, match=r"seed0\.json is not a run record"):
        go()
    assert go(again=True).record.finished


def values_of(record: RunRecord, steps_per_epoch: int) -> dict[tuple[int, str], float]:
    """What the logs of a finished run of two stages must hold, by step and name, from its record alone."""
    epochs = len(record.losses) // 2
    ends = [epochs * steps_per_epoch, 2 * epochs * steps_per_epoch]
    assert record.memory is not None
    values: dict[tuple[int, str], float] = {
        (steps_per_epoch * (number + 1), f"{name}/epoch mean"): value
        for number, entry in enumerate(record.losses)
        for name, value in entry.losses.items()
    }
    for way in DIRECTIONS:
        for metric in METRICS:
            rows = [record.recall_at_start[way][metric], *record.recall[way][metric]]
            for step, row in zip([0, *ends], rows, strict=True):
                values |= {
                    (step, f"{way} {metric}/{task}"): score
                    for task, score in zip(record.tasks, row, strict=True)
                }
            values[ends[0], f"{way} {metric}/A so far"] = rows[1][0]
            summary = record.summary[way][metric]
            values[ends[1], f"{way} {metric}/A so far"] = summary.average
            assert summary.forgetting is not None
            values[ends[1], f"{way} {metric}/F so far"] = summary.forgetting
    for end, gaps in zip(ends, record.modality_gap, strict=True):
        values |= {(end, f"modality gap/{task}"): gap for task, gap in zip(record.tasks, gaps, strict=True)}
    for kind in record.memory.kinds:
        values[ends[1], f"memory bytes/{kind.kind}"] = kind.bytes
    for end in ends:
        values[end, "memory bytes/peak of a step"] = record.memory.peak_step or 0
    values[ends[1], "throughput/clips per second so far"] = record.timing.clips_per_second or 0
    return values


def wandb_entries(folder: Path) -> list[Any]:
    """The entries of an offline run of W&B: its protocol buffers in LevelDB's log format."""
    from wandb.proto import wandb_internal_pb2

    (path,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    content, entries, parts, place = path.read_bytes(), [], b"", 7
    while place < len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, part = struct.unpack("<HB", content[place + 4 : place + 7])
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if part in (1, 4):  # whole, or the last of several
            entries.append(wandb_internal_pb2.Record.FromString(parts))
            parts = b""
    return entries


def test_logs_hold_what_the_record_holds_and_change_nothing(go, tmp_path, wandb_mode) -> None:
    wandb_mode("offline")
    settings: dict[str, Any] = {"memory": 6, "batch_size": 2, "epochs": 3}
    outcome = go("er", log=KINDS, **settings)
    record, logs = outcome.record, log_folder(tmp_path, outcome.path)
    assert record.notes == []
    assert comparable(record) == comparable(go("er", results=tmp_path / "silent", **settings).record)
    assert logs.relative_to(tmp_path) == Path("logs", "tiny-stream", "er", outcome.path.stem)
    wanted = values_of(record, steps_per_epoch=4)

    table = pd.read_csv(logs / "csv" / "values.csv", float_precision="round_trip")
    written = dict(zip(zip(table.step, table.name, strict=True), table.value, strict=True))
    assert len(written) == len(table)
    assert {key: written.get(key) for key in wanted} == wanted
    # Every tenth of 24 steps.
    for name in LOSSES:
        assert table[table.name == f"{name}/step"].step.tolist() == [10, 20]
    assert table[table.name == "throughput/clips per second"].step.tolist() == [10, 20]
    configuration = json.loads((logs / "csv" / "configuration.json").read_text())
    assert configuration["configuration"] == record.configuration
    assert configuration["environment"] == record.environment.model_dump()

    events = EventAccumulator(str(logs / "tensorboard"))
    events.Reload()
    found = {
        (each.step, name): each.value for name in events.Tags()["scalars"] for each in events.Scalars(name)
    }
    assert found == {key: float(np.float32(value)) for key, value in written.items()}

    found, config = {}, {}
    for entry in wandb_entries(logs):
        items = {item.key or "/".join(item.nested_key): item.value_json for item in entry.history.item}
        step = entry.history.step.num
        found |= {(step, key): json.loads(text) for key, text in items.items() if not key.startswith("_")}
        updates = [*entry.config.update, *entry.run.config.update]
        config |= {item.key: json.loads(item.value_json) for item in updates if item.key}
    assert found == written
    assert {key: config.get(key) for key in configuration} == configuration


def test_a_stopped_run_goes_on_with_its_logs(go, monkeypatch, tmp_path) -> None:
    settings: dict[str, Any] = {"memory": 6, "log": ["csv"]}
    monkeypatch.setattr(Findings, "on_step", stop_at_step(6))
    with pytest.raises(RunInterruptedError):
        go("er", **settings)
    path = log_folder(tmp_path, record_files(tmp_path)[0]) / "csv" / "values.csv"
    with path.open("a") as file:
        file.write("8,loss/epoch mean,0.5\n")  # as if it had been killed later than its last checkpoint
    monkeypatch.undo()
    record = go("er", **settings).record
    assert len(record.timing.resumed) == 1
    table = pd.read_csv(path, float_precision="round_trip")
    assert not table.duplicated(["step", "name"]).any()
    written = dict(zip(zip(table.step, table.name, strict=True), table.value, strict=True))
    wanted = values_of(record, steps_per_epoch=2)
    assert {key: written.get(key) for key in wanted} == wanted


def test_a_logger_that_fails_does_not_end_the_run(go, monkeypatch, tmp_path) -> None:
    write, calls = TidyCSVLogger.log_single_metric, []

    def full(self: TidyCSVLogger, name: str, value: float, x_plot: int) -> None:
        calls.append(name)
        if x_plot:
            raise OSError(28, "No space left on device")
        write(self, name, value, x_plot)

    monkeypatch.setattr(TidyCSVLogger, "log_single_metric", full)
    record = go(log=["csv"]).record
    assert record.finished
    (note,) = record.notes
    assert "logging to csv failed at optimiser step 2 and is not complete" in note
    assert "No space left on device" in note
    assert calls.count("loss/epoch mean") == 1
    assert read_records(tmp_path) == [record]
    monkeypatch.undo()
    assert comparable(record) == comparable(go(again=True).record)


def test_logs_that_fail_at_their_end_are_in_the_record(go, monkeypatch, tmp_path) -> None:
    def open_one(folder: Path, run: dict[str, Any], at_step: int) -> OpenLogger:
        def close(finished: bool) -> None:
            # The record is there before the logs are closed, which may take long.
            assert read_records(tmp_path)[0].finished
            raise TimeoutError("not sent in time")

        return OpenLogger("csv", BaseLogger(), flush=lambda: None, close=close)

    monkeypatch.setitem(loggers._OPEN, "csv", open_one)
    record = go(log=["csv"]).record
    assert "not sent in time" in record.notes[0]
    assert read_records(tmp_path) == [record]


def test_a_run_that_fails_closes_its_logs(go, monkeypatch, tmp_path) -> None:
    def fail(self: object, experience: object) -> None:
        raise RunError("the loss is nan at task 1")

    monkeypatch.setattr(ContinualPretraining, "train", fail)
    closed = []
    opened = loggers._OPEN["csv"]

    def open_one(*args: Any) -> OpenLogger:
        return replace(opened(*args), close=closed.append)

    monkeypatch.setitem(loggers._OPEN, "csv", open_one)
    with pytest.raises(RunError, match="the loss is nan"):
        go(log=["csv"])
    assert closed == [False]
    monkeypatch.undo()
    assert go(log=["csv"]).record.finished


def test_a_logger_that_cannot_be_had_ends_the_run_before_it_begins(go, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(loggers, "_installed", lambda package: False)
    with pytest.raises(InputError, match="pip install"):
        go(log=["wandb"])
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_leaves_exhibits_and_its_record_does_not_depend_on_them(
    go, monkeypatch, tmp_path
) -> None:
    outcome = go("avcl", memory=6)
    exhibits = exhibits_of(tmp_path, outcome.record)
    assert exhibits is not None
    assert np.array_equal(exhibits.task_of_query, [0] * 4 + [1] * 4)
    assert exhibits.at_end.gap.tolist() == outcome.record.modality_gap[-1]
    assert not np.array_equal(exhibits.at_start.plane.audio, exhibits.at_end.plane.audio)
    selected = exhibits.selected
    assert selected is not None
    # The first query of each task, whatever the method; half of each.
    assert selected.task.tolist() == [0, 1]
    other = exhibits_of(tmp_path, go("random", memory=6, seed=1).record)
    assert other is not None
    assert other.selected is not None
    assert np.array_equal(selected.frames, other.selected.frames)
    assert np.array_equal(selected.clip, other.selected.clip)
    assert selected.video.kept.mean() == selected.audio.kept.mean() == 0.5
    monkeypatch.setattr("avbench.experiment.leave_exhibits", lambda *_: None)
    without = go("avcl", memory=6, results=tmp_path / "without").record
    assert comparable(without) == comparable(outcome.record)


def test_exhibits_of_the_start_are_those_of_the_model_that_training_began_with(go, tmp_path) -> None:
    exhibits = exhibits_of(tmp_path, go(learning_rate=1e-9, seed=3).record)
    assert exhibits is not None
    assert exhibits.selected is None
    assert np.allclose(exhibits.at_start.gap, exhibits.at_end.gap, atol=1e-5)
    assert np.allclose(exhibits.at_start.plane.video, exhibits.at_end.plane.video, atol=1e-4)


def test_a_run_whose_exhibits_fail_has_its_record_and_makes_them_later(go, monkeypatch, tmp_path) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no picture")

    with monkeypatch.context() as patched:
        patched.setattr("avbench.exhibits.making.principal_plane", fail)
        with pytest.raises(RunError, match=r"record is whole.*not be made: ZeroDivisionError: no picture"):
            go("avcl", memory=6)
    (record,) = read_records(tmp_path)
    assert record.finished
    assert exhibits_of(tmp_path, record) is None
    monkeypatch.setattr(ContinualPretraining, "train", fail)
    again = go("avcl", memory=6)
    assert comparable(again.record) == comparable(record)
    late = exhibits_of(tmp_path, record)
    assert late is not None
    assert go("avcl", memory=6).repeated
    monkeypatch.undo()
    at_once = exhibits_of(tmp_path / "other", go("avcl", memory=6, results=tmp_path / "other").record)
    assert at_once is not None
    assert late.selected is not None
    assert at_once.selected is not None
    assert np.array_equal(late.selected.video.kept, at_once.selected.video.kept)
    assert np.array_equal(late.selected.audio.pruning, at_once.selected.audio.pruning)
    assert np.array_equal(late.at_end.plane.audio, at_once.at_end.plane.audio)


def test_an_interruption_after_the_last_stage_says_what_is_there(go, monkeypatch, tmp_path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("avbench.exhibits.making.principal_plane", interrupt)
    with pytest.raises(RunInterruptedError, match="is whole, but the exhibits"):
        go()
    monkeypatch.undo()
    assert exhibits_of(tmp_path, go().record) is not None
