"""The command that makes a run again, from its record alone."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Any

import yaml

from avbench.declared import declared
from avbench.defaults import DEFAULTS, clips_shown
from avbench.option_defaults import as_json, changed, default_options
from avbench.plugin_loading import Kind
from avbench.records import RunRecord
from avbench.settings import AS_PUBLISHED, SETTINGS

# Named whatever they are: what is run, and what another machine would have other defaults for.
_ALWAYS = ("strategy", "scenario", "device", "threads")
# Settings that `avbench run` has an option of its own for, in the order in which a person gives them.
_PLAIN = (
    "strategy", "scenario", "seed", "memory", "backbone", "start", "epochs", "batch_size", "micro_batch_size",
    "learning_rate", "precision", "device", "threads", "data", "workers",
)  # fmt: skip
_OPTIONS = ("strategy_options", "scenario_options")


def command_of(record: RunRecord) -> str:
    """Return the shortest `avbench run` command that makes the run of `record` again.

    It names strategy and scenario, device and threads (their defaults depend on the machine), and whatever
    else is not as the defaults have it: those of `avbench.defaults`, of the backbone's preset, and of the
    plugins' signatures. Of plugins that are not built in, every option is named. Paths are as they were given
    where the run was made.
    """
    configuration = dict(record.configuration)
    different = _different_settings(record, configuration)
    words = ["avbench", "run"]
    for key in _PLAIN:
        if key in different and different[key] is not None:
            words += [f"--{key.replace('_', '-')}", str(different.pop(key))]
    if isinstance(different.get("augment"), bool):
        words.append("--augment" if different.pop("augment") else "--no-augment")
    for plugin in different.pop("plugins", []):
        words += ["--plugin", str(plugin)]
    for key, value in different.items():
        words += ["--set", f"{key}={_yaml(value)}"]
    for key, value in _different_options(record, configuration):
        words += ["--set", f"{key}={_yaml(value)}"]
    return shlex.join(words)


def _different_settings(record: RunRecord, configuration: dict[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {**DEFAULTS, **clips_shown(rendered=record.rendered)}
    defaults |= _training_defaults(record)
    defaults["memory"] = default_options(record, "strategy").get("capacity")
    return {
        key: value
        for key, value in configuration.items()
        if key not in _OPTIONS
        and (key in _ALWAYS or key not in defaults or as_json(defaults[key]) != as_json(value))
    }


def _training_defaults(record: RunRecord) -> dict[str, Any]:
    if record.backbone not in SETTINGS:
        return {}
    preset = asdict(SETTINGS[record.backbone])
    if record.backbone not in AS_PUBLISHED:
        return preset
    scenario = None if "scenario" in record.plugin_code else declared("scenario", record.scenario)
    # What another's scenario sets is not known here: everything is named then.
    return preset | scenario.published_training if scenario is not None else {}


def _different_options(record: RunRecord, configuration: dict[str, Any]) -> list[tuple[str, Any]]:
    """Options of strategy and scenario that are not at their defaults, by the name that --set takes."""
    options = {group: dict(configuration.get(group, {})) for group in _OPTIONS}
    # Given as --memory.
    if configuration.get("memory") is not None:
        options["strategy_options"].pop("capacity", None)
    found = []
    kinds: tuple[Kind, Kind] = ("strategy", "scenario")
    for kind, group, other in zip(kinds, _OPTIONS, _OPTIONS[::-1], strict=True):
        for name, value in changed(options[group], default_options(record, kind)).items():
            unique = name not in configuration and name not in options[other]
            found.append((name if unique else f"{group}.{name}", value))
    return found


def _yaml(value: Any) -> str:
    """A value as `--set` reads it."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("...").strip()
