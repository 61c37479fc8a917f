"""The configuration of a run: every setting, its default, and where its value may come from.

Values are taken from, later ones winning: the defaults, the preset of the backbone's size, a YAML file
(`--config`), `--set key=value`, the command's plain options. `resolve` checks all of them at once and
returns a configuration in which nothing is left open; that is what a record keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from avbench.backbone.sizes import BACKBONES
from avbench.errors import AvbenchError, InputError, did_you_mean
from avbench.options import check_options, convert, options_of
from avbench.registry import Catalogue, catalogue
from avbench.settings import SETTINGS, Precision, TrainingSettings


class RunConfig(BaseModel):
    """What is run. Made by `resolve`, which fills in whatever was not given.

    Attributes:
        strategy, scenario: names in the registry.
        seed: of everything random in training; not of the clips.
        backbone: size of the model; gives the defaults of the training settings.
        device: "cpu", "cuda" or "cuda:1"; given as "auto", the first GPU if there is one.
        epochs, batch_size, micro_batch_size, learning_rate, betas, weight_decay, contrastive_weight,
            precision: see `avbench.settings.TrainingSettings`.
        memory: clips in the rehearsal memory: the same as the strategy's option `capacity`; None for a
            strategy that has none.
        data: folder of a prepared store; None to render the clips.
        start: "shipped" (what comes with avbench for this backbone), "random", or path of a checkpoint.
        augment: whether training clips are augmented; None for the clips' own default: real ones are,
            rendered ones are not.
        workers: processes that load clips.
        threads: of torch on the CPU; more or fewer can change the last bit of a result.
        plugins: Python files with further strategies and scenarios.
        strategy_options, scenario_options: every option of the two, in full.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    strategy: str
    scenario: str
    seed: int = Field(ge=0)
    backbone: str
    device: str
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    micro_batch_size: int | None = Field(ge=1)
    learning_rate: float = Field(gt=0)
    betas: tuple[float, float]
    weight_decay: float = Field(ge=0)
    contrastive_weight: float = Field(ge=0)
    precision: Precision
    memory: int | None = Field(ge=1)
    data: str | None
    start: str
    augment: bool | None
    workers: int = Field(ge=0)
    threads: int = Field(ge=1)
    plugins: list[str]
    strategy_options: dict[str, Any]
    scenario_options: dict[str, Any]

    def training(self) -> TrainingSettings:
        """Return the training settings."""
        return TrainingSettings(**{field.name: getattr(self, field.name) for field in fields(TrainingSettings)})

    def recorded(self) -> dict[str, Any]:
        """Return the configuration as plain data, for a record."""
        return self.model_dump(mode="json")


DEFAULTS: dict[str, Any] = {
    "strategy": "avcl",
    "scenario": "vggsound-stream",
    "seed": 0,
    "backbone": "tiny",
    "device": "auto",
    "memory": None,
    "data": None,
    "start": "shipped",
    "augment": None,
    "workers": 0,
    "threads": 1,
    "plugins": [],
    "strategy_options": {},
    "scenario_options": {},
}
"""Defaults of all settings but those of training, which depend on the backbone (`avbench.settings`)."""

_OPTIONS = ("strategy_options", "scenario_options")


@dataclass(frozen=True)
class Layer:
    """Values from one place, and what to call that place in a message: "--set", "settings.yaml", ..."""

    origin: str
    values: Mapping[str, Any]


def read_yaml(path: Path) -> Layer:
    """Read settings from a YAML file: a mapping from setting to value.

    Raises:
        InputError: the file is missing, or no such mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--config {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path} is not YAML: {error}") from error
    if content is None:
        content = {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"--config {path}: wanted one `setting: value` a line, found {type(content).__name__}")
    return Layer(str(path), content)


def read_assignments(assignments: Sequence[str]) -> Layer:
    """Read `key=value` texts, as given by --set; values are YAML, and keys may be `strategy_options.name`.

    Raises:
        InputError: one of them is not `key=value`; all such are named.
    """
    values: dict[str, Any] = {}
    mistakes = []
    for text in assignments:
        key, equals, value = text.partition("=")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            mistakes.append(f"--set {text}: the value {value!r} cannot be read")
            continue
        if not equals or not key.strip():
            mistakes.append(f"--set {text}: wanted key=value, such as epochs=2")
            continue
        _put(values, key.strip(), parsed)
    _raise(mistakes)
    return Layer("--set", values)


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    group, dot, name = key.partition(".")
    if dot and group in _OPTIONS:
        values.setdefault(group, {})[name] = value
    else:
        values[key] = value


def resolve(layers: Sequence[Layer]) -> RunConfig:
    """Return the configuration that `layers` describe, later ones winning, with every setting filled in.

    A key that is no setting but an option of the strategy or of the scenario stands for that option.

    Raises:
        InputError: with all mistakes at once, one a line, each with the nearest valid name.
    """
    given, origins, mistakes = _merge(layers)
    values = {**DEFAULTS, **asdict(SETTINGS[DEFAULTS["backbone"]])}
    backbone = given.get("backbone", DEFAULTS["backbone"])
    if isinstance(backbone, str) and backbone in SETTINGS:
        values.update(asdict(SETTINGS[backbone]))
    else:
        mistakes.append(f"backbone: there is no {backbone!r}{did_you_mean(str(backbone), BACKBONES)}")
    values.update(given)

    found = _plugins(values["plugins"], mistakes)
    classes: dict[str, type[Any]] = {}
    for kind, known in found.items():
        try:
            classes[kind] = known.get(str(values[kind])).cls
        except InputError as error:
            mistakes.append(str(error))
    _take_short_names(values, classes, mistakes)
    for key in sorted(set(values) - set(RunConfig.model_fields)):
        hint = did_you_mean(key, [*RunConfig.model_fields, *_short_names(classes)])
        mistakes.append(f"{key}: there is no such setting{hint}")
        del values[key]

    for kind, cls in classes.items():
        _complete_options(values, kind, cls, mistakes)
    _check_values(values, origins, mistakes)
    _check_together(values, classes, mistakes)
    _raise(mistakes)
    return RunConfig(**values)


def _merge(layers: Sequence[Layer]) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    given: dict[str, Any] = {}
    origins: dict[str, str] = {}
    mistakes = []
    for layer in layers:
        for key, value in layer.values.items():
            origins[key] = layer.origin
            if key not in _OPTIONS:
                given[key] = value
            elif isinstance(value, Mapping):
                given[key] = {**given.get(key, {}), **value}
            else:
                mistakes.append(f"{key}: wanted a mapping from option to value (given {value!r})")
    return given, origins, mistakes


def _plugins(files: Any, mistakes: list[str]) -> dict[str, Catalogue]:
    try:
        paths = [Path(file) for file in convert(list[str], files)]
        return {"strategy": catalogue("strategy", paths), "scenario": catalogue("scenario", paths)}
    except (AvbenchError, ValueError) as error:
        mistakes.append(str(error) if isinstance(error, AvbenchError) else f"plugins: {error}")
        return {"strategy": catalogue("strategy"), "scenario": catalogue("scenario")}


def _short_names(classes: Mapping[str, type[Any]]) -> list[str]:
    return [name for cls in classes.values() for name in options_of(cls)]


def _take_short_names(values: dict[str, Any], classes: Mapping[str, type[Any]], mistakes: list[str]) -> None:
    """Move keys that are an option's name into the options they belong to."""
    for key in [key for key in values if key not in RunConfig.model_fields]:
        owners = [kind for kind, cls in classes.items() if key in options_of(cls)]
        if len(owners) > 1:
            mistakes.append(
                f"{key}: both strategy and scenario have this option; write strategy_options.{key} or "
                f"scenario_options.{key}"
            )
            del values[key]
        elif owners:
            group = f"{owners[0]}_options"
            values[group] = {**values[group], key: values.pop(key)}


def _complete_options(values: dict[str, Any], kind: str, cls: type[Any], mistakes: list[str]) -> None:
    """Check the options of one plugin, fill in its defaults, and try whether it takes them together."""
    group = f"{kind}_options"
    given = dict(values[group])
    where = f"{kind} {values[kind]!r}"
    if kind == "strategy" and values["memory"] is not None:
        if "capacity" not in options_of(cls):
            mistakes.append(f"memory: {where} has no rehearsal memory, so its size cannot be set")
        elif given.get("capacity", values["memory"]) != values["memory"]:
            mistakes.append(
                f"memory={values['memory']} and capacity={given['capacity']} are the same thing: give one"
            )
        else:
            given["capacity"] = values["memory"]
    complete, wrong = check_options(cls, given, where)
    if not wrong:
        try:
            cls(**complete)
        # A constructor checks its own values and says what is wrong in an error of its choice.
        except (AvbenchError, ValueError, TypeError) as error:
            wrong.append(f"{where}: {error}")
    mistakes.extend(wrong)
    values[group] = complete
    if kind == "strategy" and not wrong:
        values["memory"] = complete.get("capacity")


def _check_values(values: dict[str, Any], origins: Mapping[str, str], mistakes: list[str]) -> None:
    try:
        for key, value in RunConfig(**values).model_dump().items():
            values[key] = value
    except ValidationError as error:
        for each in error.errors():
            key = str(each["loc"][0]) if each["loc"] else ""
            where = f" by {origins[key]}" if key in origins else ""
            mistakes.append(f"{key}: {each['msg'][:1].lower()}{each['msg'][1:]} (given {each['input']!r}{where})")
    for key, value in values.items():
        if isinstance(value, bool) and key not in ("augment",) and key in origins:
            mistakes.append(f"{key}: input should not be true or false (given {value!r} by {origins[key]})")


def _check_together(values: dict[str, Any], classes: Mapping[str, type[Any]], mistakes: list[str]) -> None:
    """Check what one setting's type cannot tell."""
    if not mistakes:
        try:
            RunConfig(**values).training()
        except InputError as error:
            mistakes.append(str(error))
    try:
        values["device"] = available_device(str(values["device"]))
    except InputError as error:
        mistakes.append(str(error))
    if values["data"] is not None and not Path(str(values["data"])).is_dir():
        mistakes.append(
            f"data: there is no folder {values['data']}; make a store with `avbench data prepare`, or leave it "
            "out to render clips"
        )


def available_device(name: str) -> str:
    """Return `name` as a device of this machine; "auto" is the first GPU if there is one, else the CPU.

    Raises:
        InputError: it is no device, or not there.
    """
    if name == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device: {name!r} is no device (valid: auto, cpu, cuda, cuda:1, ...)") from None
    if device.type == "cpu":
        return "cpu"
    if device.type != "cuda":
        raise InputError(f"device: {name!r} is not supported (valid: auto, cpu, cuda, cuda:1, ...)")
    there = torch.cuda.device_count()
    if (device.index or 0) >= there:
        raise InputError(f"device: {name!r} is not there: this machine has {there} CUDA device(s)")
    return f"cuda:{device.index or 0}"


def _raise(mistakes: list[str]) -> None:
    if len(mistakes) == 1:
        raise InputError(mistakes[0])
    if mistakes:
        listed = "\n".join(f"  - {mistake}" for mistake in mistakes)
        raise InputError(f"{len(mistakes)} things are wrong with this configuration:\n{listed}")
