"""Strategies and scenarios by name, wherever they come from.

- Built in: every file of `strategies/`, `baselines/` and `scenarios/` that defines one public plugin class.
  Its name is the file's stem with hyphens: `der_pp.py` is `der-pp`. Files without such a class are helpers.
- Installed packages, by entry points of the groups `avbench.strategies` and `avbench.scenarios`, as
  `name = "package.module:Class"` (or the module alone, if it defines one plugin class).
- Given by hand: `--plugin path/to/file.py`, named as built-in files are, or
  `--plugin package.module:Class`, named by the class: `MyMethod` is `my-method`. The class may be a plugin
  of Avalanche that knows nothing of avbench (`avbench.avalanche_plugins`).

A plugin class is a subclass of `avbench.method.Method` or `avbench.scenario.Scenario` whose constructor
takes keyword arguments only: its whole configuration, documented under "Args:" in its docstring.

One broken package does not take the others down: it is kept in the catalogue with what is wrong with it,
and is an error only when its name is asked for. Two plugins of one name are broken both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path

from avbench.errors import InputError, did_you_mean
from avbench.plugin_loading import (
    BrokenPlugin,
    GivenPlugin,
    Kind,
    Plugin,
    built_in_files,
    from_entry_point,
    from_given,
    from_module,
)

__all__ = ["BrokenPlugin", "Catalogue", "GivenPlugin", "Kind", "Plugin", "catalogue"]

_GROUPS: dict[Kind, str] = {"strategy": "avbench.strategies", "scenario": "avbench.scenarios"}


@dataclass
class Catalogue:
    """All plugins of one kind, by name."""

    kind: Kind
    plugins: dict[str, Plugin] = field(default_factory=dict)
    broken: dict[str, BrokenPlugin] = field(default_factory=dict)

    def get(self, name: str) -> Plugin:
        """Return the plugin called `name`.

        Raises:
            InputError: there is none of that name (the message has the nearest), or it is broken.
        """
        if name in self.plugins:
            return self.plugins[name]
        if name in self.broken:
            found = self.broken[name]
            raise InputError(f"the {self.kind} {name!r} of {found.origin} cannot be used: {found.reason}")
        raise InputError(f"there is no {self.kind} {name!r}{did_you_mean(name, self.plugins)}")

    def add(self, found: Plugin | BrokenPlugin) -> None:
        """Take `found` in; a name that is taken already makes both unusable."""
        earlier = self.plugins.pop(found.name, None) or self.broken.pop(found.name, None)
        if earlier is not None:
            both = f"{earlier.origin} and {found.origin}"
            reason = (
                "two plugins have this name; rename one, uninstall its package, or leave out its --plugin"
            )
            found = BrokenPlugin(found.name, both, reason)
        if isinstance(found, Plugin):
            self.plugins[found.name] = found
        else:
            self.broken[found.name] = found

    def has_class(self, cls: type) -> bool:
        """Whether a plugin is of this very class."""
        return any(plugin.cls is cls for plugin in self.plugins.values())


def catalogue(kind: Kind, given: Sequence[GivenPlugin] = ()) -> Catalogue:
    """Return all strategies or all scenarios: built in, of installed packages, and those `given` by hand.

    Raises:
        InputError: one of those given is missing, cannot be imported, or is no plugin of any kind.
    """
    found = Catalogue(kind)
    own_files = set()
    for path, name, origin in built_in_files(kind):
        own_files.add(path)
        if plugin := from_module(name, origin, kind):
            found.add(plugin)
    for point in sorted(entry_points(group=_GROUPS[kind]), key=lambda point: point.name):
        found.add(from_entry_point(point, kind))
    for each in given:
        # What is in already and given by hand as well is one plugin, not two of one name.
        if Path(each).resolve() in own_files:
            continue
        named = from_given(each, kind)
        if named is not None and not found.has_class(named.cls):
            found.add(named)
    return found
