"""The configuration of a run: every setting, its default, and where its value may come from.

Values are taken from, later ones winning: the defaults, the preset of the backbone's size, a YAML file
(`--config`), `--set key=value`, the command's plain options. `resolve` checks all of them at once and
returns a configuration in which nothing is left open; that is what a record keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from avbench.capacity import Capacity
from avbench.defaults import DEFAULTS as ANYWHERE
from avbench.devices import default_threads
from avbench.errors import InputError
from avbench.settings import Precision, TrainingSettings


class RunConfig(BaseModel):
    """What is run. Made by `resolve`, which fills in whatever was not given.

    Attributes:
        strategy, scenario: names in the registry.
        seed: of everything random in training; not of the clips.
        backbone: size of the model; gives the defaults of the training settings.
        device: "cpu", "cuda" or "cuda:1"; given as "auto", the first GPU if there is one.
        epochs, batch_size, micro_batch_size, learning_rate, betas, weight_decay, mask_ratio,
            contrastive_weight, precision: see `avbench.settings.TrainingSettings`.
        memory: size of the rehearsal memory, in clips (2000) or bytes ("512MiB"): the same as the strategy's
            option `capacity`; None for a strategy that has none.
        data: folder of a prepared store; None to render the clips.
        start: "shipped" (what comes with avbench for this backbone), "random", or path of a checkpoint.
        frames: frames of a clip that the model sees.
        frame_size: pixels of their side; None for 224, or the stored frames' side if that is smaller.
        window: share of the clip from which they are taken; None for the clips' own default: 0.4 of real
            ones as published, all of rendered ones.
        augment: whether training clips are augmented; None for the clips' own default: real ones are,
            rendered ones are not.
        workers: processes that load clips.
        threads: of torch on the CPU, by default OMP_NUM_THREADS, or as many as there are cores, at most 4.
            Another number adds up in another order, and training carries that on: results differ as much
            as between seeds.
        plugins: further strategies and scenarios: Python files, or classes as "package.module:Class".
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
    mask_ratio: float = Field(gt=0, lt=1)
    contrastive_weight: float = Field(ge=0)
    precision: Precision
    memory: Capacity | None
    data: str | None
    start: str
    frames: int = Field(ge=1)
    frame_size: int | None = Field(ge=16, multiple_of=16)
    window: float | None = Field(gt=0, le=1)
    augment: bool | None
    workers: int = Field(ge=0)
    threads: int = Field(ge=1)
    plugins: list[str]
    strategy_options: dict[str, Any]
    scenario_options: dict[str, Any]

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_is_true(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and info.field_name != "augment":
            raise ValueError("should not be true or false")
        return value

    def training(self) -> TrainingSettings:
        """Return the training settings."""
        return TrainingSettings(
            **{field.name: getattr(self, field.name) for field in fields(TrainingSettings)}
        )

    def recorded(self) -> dict[str, Any]:
        """Return the configuration as plain data, for a record."""
        return self.model_dump(mode="json")


DEFAULTS: dict[str, Any] = {**ANYWHERE, "device": "auto", "threads": default_threads()}
"""Defaults of all settings but those of training, which depend on the backbone (`avbench.settings`)."""

OPTIONS = ("strategy_options", "scenario_options")
"""The settings that hold the options of plugins, by name."""


@dataclass(frozen=True)
class Layer:
    """Values from one place, and what to call that place in a message: "--set", "settings.yaml", ..."""

    origin: str
    values: Mapping[str, Any]


def read_settings(path: Path) -> Layer:
    """Read the file of --config: a YAML mapping from setting to value; an empty file is one of no settings.

    Raises:
        InputError: the file is missing, or no such mapping.
    """
    content = read_yaml(path, f"--config {path}")
    if content is None:
        content = {}
    if not is_of_settings(content):
        raise InputError(
            f"--config {path}: wanted one `setting: value` a line, found {type(content).__name__}"
        )
    return Layer(str(path), content)


def read_yaml(path: Path, name: str) -> Any:
    """Return what a YAML file holds, None where it is empty; `name` is what to call it in a message.

    Raises:
        InputError: the file is missing, or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{name} is not YAML: {error}") from error


def is_of_settings(content: Any) -> bool:
    """Return whether what a YAML file holds is a mapping from names."""
    return isinstance(content, dict) and all(isinstance(key, str) for key in content)


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
    raise_all(mistakes)
    return Layer("--set", values)


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    group, dot, name = key.partition(".")
    if dot and group in OPTIONS:
        values.setdefault(group, {})[name] = value
    else:
        values[key] = value


def raise_all(mistakes: Sequence[str]) -> None:
    """Raise one InputError that tells all `mistakes`, one a line; none raise nothing."""
    if len(mistakes) == 1:
        raise InputError(mistakes[0])
    if mistakes:
        listed = "\n".join(f"  - {mistake}" for mistake in mistakes)
        raise InputError(f"{len(mistakes)} things are wrong with this configuration:\n{listed}")
