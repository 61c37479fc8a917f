"""From what was given to a configuration in which nothing is left open, or to all that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from avbench.backbone.sizes import BACKBONES
from avbench.capacity import Capacity
from avbench.configuration import DEFAULTS, OPTIONS, Layer, RunConfig, raise_all
from avbench.devices import available_device
from avbench.errors import AvbenchError, InputError, did_you_mean
from avbench.options import check_options, convert, options_of
from avbench.registry import Catalogue, catalogue
from avbench.settings import AS_PUBLISHED, SETTINGS, STRATEGY_OPTIONS
from avbench.start import RANDOM, SHIPPED, shipped_start


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
    if "scenario" in classes and backbone in AS_PUBLISHED:
        for key, value in classes["scenario"].published_training.items():
            values[key] = given.get(key, value)
    _take_short_names(values, classes, mistakes)
    for key in sorted(set(values) - set(RunConfig.model_fields)):
        hint = did_you_mean(key, [*RunConfig.model_fields, *_short_names(classes)])
        mistakes.append(f"{key}: there is no such setting{hint}")
        del values[key]

    for kind, cls in classes.items():
        _complete_options(values, kind, cls, mistakes)
    _check_values(values, origins, mistakes)
    _check_together(values, classes, mistakes)
    raise_all(mistakes)
    return RunConfig(**values)


def _merge(layers: Sequence[Layer]) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    given: dict[str, Any] = {}
    origins: dict[str, str] = {}
    mistakes = []
    for layer in layers:
        for key, value in layer.values.items():
            origins[key] = layer.origin
            if key not in OPTIONS:
                given[key] = value
            elif isinstance(value, Mapping):
                given[key] = {**given.get(key, {}), **value}
            else:
                mistakes.append(f"{key}: wanted a mapping from option to value (given {value!r})")
    return given, origins, mistakes


def _plugins(given: Any, mistakes: list[str]) -> dict[str, Catalogue]:
    try:
        named = convert(list[str], given)
        return {"strategy": catalogue("strategy", named), "scenario": catalogue("scenario", named)}
    except (AvbenchError, ValueError) as error:
        # Without it, names and options that are right would be told to be wrong.
        raise_all([*mistakes, str(error) if isinstance(error, AvbenchError) else f"plugins: {error}"])
        raise


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
        try:
            memory = convert(Capacity, values["memory"])
        except ValueError as error:
            memory = None
            mistakes.append(f"memory: {error}")
        if "capacity" not in options_of(cls):
            mistakes.append(f"memory: {where} has no rehearsal memory, so its size cannot be set")
        elif memory is not None and given.setdefault("capacity", memory) != memory:
            mistakes.append(f"memory={memory} and capacity={given['capacity']} are the same thing: give one")
    if kind == "strategy":
        for option, value in STRATEGY_OPTIONS.get(str(values["backbone"]), {}).items():
            if option in options_of(cls):
                given.setdefault(option, value)
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
            reason = each["msg"].removeprefix("Value error, ")
            mistakes.append(f"{key}: {reason[:1].lower()}{reason[1:]} (given {each['input']!r}{where})")


def _check_together(values: dict[str, Any], classes: Mapping[str, type[Any]], mistakes: list[str]) -> None:
    """Check what one setting's type cannot tell."""
    if not mistakes:
        try:
            RunConfig(**values).training()
        except InputError as error:
            mistakes.append(str(error))
    if isinstance(values["device"], str):
        try:
            values["device"] = available_device(values["device"])
        except InputError as error:
            mistakes.append(str(error))
    _check_start(values, mistakes)
    if values["data"] is not None and not Path(str(values["data"])).is_dir():
        mistakes.append(
            f"data: there is no folder {values['data']}; make a store with `avbench data prepare`, or leave "
            "it out to render clips"
        )


def _check_start(values: Mapping[str, Any], mistakes: list[str]) -> None:
    start, backbone = values["start"], values["backbone"]
    if start == SHIPPED and backbone in BACKBONES:
        try:
            shipped_start(backbone)
        except InputError as error:
            mistakes.append(f"start: {error}")
    elif isinstance(start, str) and start not in (SHIPPED, RANDOM) and not Path(start).is_file():
        mistakes.append(f"start: there is no checkpoint {start} (valid: {SHIPPED}, {RANDOM}, or a file)")
