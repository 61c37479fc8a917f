"""Configurations: where values come from, what is filled in, and that all mistakes are told at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from avbench.configuration import Layer, RunConfig, read_assignments, read_settings
from avbench.errors import InputError
from avbench.resolving import resolve
from avbench.settings import SETTINGS, STRATEGY_OPTIONS

ER = Layer("options", {"strategy": "er", "device": "cpu", "start": "random"})


def mistakes(*layers: Layer) -> str:
    with pytest.raises(InputError) as caught:
        resolve(layers)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_everything_is_filled_in() -> None:
    config = resolve([ER])
    assert config.epochs == SETTINGS["tiny"].epochs
    assert config.training() == SETTINGS["tiny"]
    assert config.strategy_options == {"capacity": STRATEGY_OPTIONS["tiny"]["capacity"]}
    assert config.memory == config.strategy_options["capacity"]
    assert config.device == "cpu"
    assert set(config.recorded()) == set(RunConfig.model_fields)


def test_defaults_follow_the_backbone() -> None:
    config = resolve([ER, Layer("options", {"backbone": "base"})])
    assert config.training() == SETTINGS["base"]
    assert config.memory == 2000


def test_later_layers_win(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("epochs: 7\nseed: 1\nstrategy_options:\n  capacity: 30\n")
    config = resolve(
        [
            ER,
            read_settings(path),
            read_assignments(["seed=2", "learning_rate=5e-4"]),
            Layer("options", {"seed": 3}),
        ]
    )
    assert (config.epochs, config.seed, config.learning_rate, config.memory) == (7, 3, 5e-4, 30)


@pytest.mark.parametrize("text", ["strategy_options.capacity=500", "capacity=500", "memory=500"])
def test_an_option_has_a_long_and_a_short_name(text: str) -> None:
    config = resolve([ER, read_assignments([text])])
    assert config.strategy_options["capacity"] == 500
    assert config.memory == 500


def test_scenario_options() -> None:
    config = resolve([ER, read_assignments(["gallery_clips_per_class=2"])])
    assert config.scenario_options["gallery_clips_per_class"] == 2
    assert config.scenario_options["training_clips_per_class"] == 400


def test_strategy_without_memory() -> None:
    finetune = Layer("options", {"strategy": "finetune", "device": "cpu", "start": "random"})
    assert resolve([finetune]).memory is None
    assert "'finetune' has no rehearsal memory" in mistakes(finetune, Layer("options", {"memory": 10}))


def test_memory_given_twice() -> None:
    text = mistakes(ER, read_assignments(["memory=10", "capacity=20"]))
    assert "memory=10 and capacity=20 are the same thing" in text


def test_all_mistakes_are_told_at_once() -> None:
    text = mistakes(
        Layer(
            "options", {"strategy": "avlc-er", "start": "random", "scenario": "vggsound-strem", "seed": -1}
        ),
        Layer("settings.yaml", {"epoch": 3, "batch_size": "many", "backbone": "tinny", "device": "abacus"}),
    )
    for part in (
        "7 things are wrong",
        "no strategy 'avlc-er'",
        "no scenario 'vggsound-strem' (did you mean vggsound-stream?)",
        "seed: input should be greater than or equal to 0 (given -1 by options)",
        "epoch: there is no such setting (did you mean epochs?)",
        "batch_size: input should be a valid integer",
        "(given 'many' by settings.yaml)",
        "backbone: there is no 'tinny' (did you mean tiny?)",
        "device: 'abacus' is no device",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capasity": 3}, "strategy 'er' has no option 'capasity' (did you mean capacity?)"),
        ({"capacity": "lots"}, "option 'capacity' of strategy 'er': a rehearsal memory is a number of clips"),
        ({"capacity": 2.5}, "option 'capacity' of strategy 'er'"),
        ({"capacity": True}, "such as 2000, or of bytes with a unit, such as 512MiB (units"),
        ({"capacity": 0}, "strategy 'er': a rehearsal memory of 0 clips holds nothing"),
    ],
)
def test_options_are_checked_against_the_signature(options: dict[str, Any], message: str) -> None:
    assert message in mistakes(ER, Layer("options", {"strategy_options": options}))


def test_misspelt_option_in_short_form_is_no_setting() -> None:
    assert "capacty: there is no such setting (did you mean capacity?)" in mistakes(
        ER, read_assignments(["capacty=3"])
    )


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seed", True),
        ("seed", 1.5),
        ("epochs", 0),
        ("learning_rate", float("nan")),
        ("learning_rate", -1),
        ("precision", "float8"),
        ("betas", [0.9]),
        ("betas", [0.9, 2.0]),
        ("workers", -1),
        ("batch_size", None),
        ("memory", "lots"),
        ("memory", 0),
        ("micro_batch_size", 1000),
        ("data", "/no/such/folder"),
        ("augment", "maybe"),
        ("frame_size", 100),
        ("window", 1.5),
        ("start", "/no/such/checkpoint"),
        ("strategy", 3),
        ("backbone", None),
        ("plugins", "x.py"),
        ("strategy_options", 3),
    ],
)
def test_bad_values_are_refused_by_name(setting: str, value: Any) -> None:
    text = mistakes(ER, Layer("settings.yaml", {setting: value}))
    assert re.search(rf"\b{setting}\b", text), text


def test_device_that_is_not_there_is_refused() -> None:
    assert "cuda:99" in mistakes(ER, Layer("options", {"device": "cuda:99"}))


def test_backbone_without_a_shipped_start_says_so() -> None:
    text = mistakes(ER, Layer("options", {"backbone": "base", "start": "shipped"}))
    assert "start: no start is shipped for the base backbone" in text


@pytest.mark.parametrize("text", ["epochs", "=3", "epochs={1"])
def test_assignments_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"--set {text}")):
        read_assignments([text])


def test_values_of_assignments_are_yaml() -> None:
    layer = read_assignments(["a=1", "b=0.5", "c=true", "d=text", "e=[1, 2]", "f=", "g=x=y"])
    assert layer.values == {"a": 1, "b": 0.5, "c": True, "d": "text", "e": [1, 2], "f": None, "g": "x=y"}


@pytest.mark.parametrize("content", ["- 1\n- 2", "just a text", "a: [1", "1: 2"])
def test_yaml_that_is_no_mapping_names_the_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=r"--config .*settings\.yaml"):
        read_settings(path)


def test_missing_or_empty_yaml(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_settings(tmp_path / "gone.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert read_settings(tmp_path / "empty.yaml").values == {}


def test_recorded_configuration_resolves_to_itself() -> None:
    config = resolve([ER, read_assignments(["capacity=5", "micro_batch_size=4"])])
    assert resolve([Layer("record", config.recorded())]) == config
