"""Which options of a recorded run are at their defaults, told from the plugins' source; needs no torch.

Defaults are those of this avbench, with the backbone of the run. Of a plugin whose code is not avbench's they
are not known, and each of its options counts as changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from avbench.declared import declared
from avbench.plugin_loading import Kind
from avbench.records import RunRecord
from avbench.settings import STRATEGY_OPTIONS


def changed_options(record: RunRecord) -> dict[str, Any]:
    """Return the options of the run's strategy that are not at their defaults, the memory's size included."""
    return changed(record.configuration.get("strategy_options", {}), default_options(record, "strategy"))


def default_options(record: RunRecord, kind: Kind) -> dict[str, Any]:
    """Return the defaults of a plugin's options with the run's backbone, as far as they are known."""
    found = declared(kind, record.strategy if kind == "strategy" else record.scenario)
    if found is None or kind in record.plugin_code:
        return {}
    preset = STRATEGY_OPTIONS.get(record.backbone, {}) if kind == "strategy" else {}
    return {name: preset.get(name, value) for name, value in found.options.items()}


def changed(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that have no default, or another value than it."""
    return {
        name: value
        for name, value in options.items()
        if name not in defaults or as_json(defaults[name]) != as_json(value)
    }


def as_json(value: Any) -> Any:
    """Return a value as JSON has it: a tuple as a list."""
    return [as_json(each) for each in value] if isinstance(value, tuple | list) else value
