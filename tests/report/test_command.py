"""The command that makes a run again: given to `avbench run`, it resolves to the record's very run."""

from __future__ import annotations

import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import avbench.experiment
import avbench.resolving
from avbench.cli import app
from avbench.configuration import Layer
from avbench.declared import declared
from avbench.defaults import DEFAULTS
from avbench.options import options_of
from avbench.record_files import read_records
from avbench.records import PLACES_AND_SPEED, RunRecord, identity_of
from avbench.registry import catalogue
from avbench.rendered.store import RENDERED_FORMAT
from avbench.report.command import command_of
from avbench.resolving import resolve
from avbench.settings import SETTINGS
from avbench.store.layout import PUBLISHED_FORMAT
from avbench.streaming import ClipsAhead, settle_clips

MEASURED = read_records(Path(__file__).parents[2] / "results" / "measured")


@cache
def known(kind: Any) -> Any:
    """The catalogue without further plugins: looking for them takes a second every time."""
    return catalogue(kind)


@pytest.fixture(autouse=True)
def _look_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avbench.resolving, "catalogue", lambda kind, given: known(kind))


def settled(config: Any, *, rendered: bool) -> dict[str, Any]:
    """The configuration as a record keeps it, with these clips."""
    source, form = ("rendered", RENDERED_FORMAT) if rendered else ("vggsound", PUBLISHED_FORMAT)
    return settle_clips(config, ClipsAhead("clips", source, form, "a store")).recorded()


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`resolved(command)` is the configuration that this `avbench run ...` would run."""
    taken: list[Any] = []

    def take(config: Any, **_: Any) -> None:
        taken.append(config)
        raise SystemExit(0)

    monkeypatch.delenv("AVBENCH_DATA", raising=False)
    monkeypatch.setattr(avbench.experiment, "run_experiment", take)

    def run(command: str) -> Any:
        program, *words = shlex.split(command)
        assert program == "avbench"
        CliRunner().invoke(app, words, catch_exceptions=False)
        return taken.pop()

    return run


@pytest.fixture
def recorded(make_record: Any) -> Any:
    """`recorded(settings)` is a record of the configuration that `settings` resolve to."""

    def make(rendered: bool = True, **given: Any) -> RunRecord:
        device = {"device": "cpu", "threads": 1}
        configuration = settled(resolve([Layer("test", device | given)]), rendered=rendered)
        record: RunRecord = make_record(
            configuration["strategy"], configuration["seed"], scenario=configuration["scenario"],
            source="rendered" if rendered else "vggsound",
        )  # fmt: skip
        return record.model_copy(update={"configuration": configuration})

    return make


def by_identity(records: list[RunRecord]) -> list[RunRecord]:
    return list({record.identity: record for record in records}.values())


@pytest.mark.parametrize("record", by_identity(MEASURED), ids=lambda r: f"{r.strategy}-{r.seed}")
def test_the_measured_runs_commands_are_those_runs(record: RunRecord, resolved: Any) -> None:
    configuration = settled(resolved(command_of(record)), rendered=True)
    assert configuration == record.configuration
    named = identity_of(configuration, store=record.store, start=record.start)
    assert named == record.identity


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"strategy": "er", "seed": 2, "memory": 500}, "--seed 2 --memory 500"),
        ({"strategy": "er", "memory": "2.5MiB"}, "--memory 2.5MiB"),
        ({"strategy": "avcl", "strategy_options": {"selection": "lpis"}}, "--set selection=lpis"),
        ({"learning_rate": 5e-7, "weight_decay": 5e-8}, "--learning-rate 5e-07 --set weight_decay=5.0e-08"),
        ({"betas": [0.9, 0.999], "window": 0.5}, "--set 'betas=[0.9, 0.999]' --set window=0.5"),
        ({"augment": True, "start": "random"}, "--start random --augment"),
        ({"micro_batch_size": 8, "precision": "bfloat16"}, "--micro-batch-size 8 --precision bfloat16"),
        ({"scenario_options": {"gallery_clips_per_class": 2}}, "--set gallery_clips_per_class=2"),
        ({"backbone": "base", "start": "random", "memory": 200}, "--memory 200 --backbone base"),
    ],
    ids=str,
)
def test_what_differs_from_the_defaults_is_named_and_nothing_else(
    recorded: Any, resolved: Any, given: dict[str, Any], words: str
) -> None:
    record = recorded(**given)
    command = command_of(record)
    assert settled(resolved(command), rendered=True) == record.configuration
    for pair in words.split(" --"):
        assert pair.removeprefix("--") in command
    settings = set(given) | {"strategy", "scenario", "device", "threads"}
    assert command.count(" --") == len(settings)


@pytest.mark.parametrize("scenario", ["vggsound-stream", "audioset-stream"])
def test_real_clips_are_shown_as_published_unless_told(
    recorded: Any, resolved: Any, tmp_path: Path, scenario: str
) -> None:
    (tmp_path / "my clips").mkdir()
    data = str(tmp_path / "my clips")
    record = recorded(False, scenario=scenario, backbone="base", start="random", data=data)
    command = command_of(record)
    assert settled(resolved(command), rendered=False) == record.configuration
    # The AudioSet stream has its own epochs and batches, which are its defaults.
    assert "epochs" not in command
    assert shlex.quote(data) in command
    assert not {"--augment", "window", "frame_size"} & set(command.replace("=", " ").split())


def test_every_option_of_a_plugin_that_is_not_built_in_is_named(make_record: Any) -> None:
    record = make_record(
        "mine", options={"capacity": 200, "rate": 0.5}, plugin_code={"strategy": "0123"},
        settings={"plugins": ["my method.py"], "memory": 200},
    )  # fmt: skip
    command = command_of(record)
    assert "--plugin 'my method.py'" in command
    assert "--memory 200" in command
    assert "--set rate=0.5" in command


def test_settings_of_a_later_avbench_are_named(make_record: Any) -> None:
    assert "--set warmup=3" in command_of(make_record("er", settings={"warmup": 3}))


@pytest.mark.parametrize("kind", ["strategy", "scenario"])
def test_what_is_read_from_the_source_is_what_the_classes_say(kind: Any) -> None:
    found = known(kind).plugins
    assert len(found) >= 2
    for name, plugin in found.items():
        if plugin.code:
            continue
        read = declared(kind, name)
        assert read is not None, name
        assert read.options == {key: option.default for key, option in options_of(plugin.cls).items()}, name
        assert read.published_training == getattr(plugin.cls, "published_training", {})


def test_there_is_nothing_to_read_of_a_strange_name() -> None:
    assert declared("strategy", "no-such-thing") is None


def test_defaults_are_all_there() -> None:
    """A setting without a known default would be named in every command."""
    places = set(PLACES_AND_SPEED) | {"seed"}
    config = resolve([Layer("test", {"strategy": "er", "device": "cpu", "threads": 1})]).recorded()
    assert set(config) - places <= {*DEFAULTS, *vars(SETTINGS["tiny"]), "device"}
