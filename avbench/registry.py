"""Strategies and scenarios by name, wherever they come from.

- Built in: every file of `strategies/`, `baselines/` and `scenarios/` that defines one public plugin class.
  Its name is the file's stem with hyphens: `der_pp.py` is `der-pp`. Files without such a class are helpers.
- Installed packages, by entry points of the groups `avbench.strategies` and `avbench.scenarios`, as
  `name = "package.module:Class"` (or the module alone, if it defines one plugin class).
- Single files, `--plugin path/to/file.py`.

A plugin class is a subclass of `avbench.method.Method` or `avbench.scenario.Scenario` whose constructor
takes keyword arguments only: its whole configuration, documented under "Args:" in its docstring.

One broken package does not take the others down: it is kept in the catalogue with what is wrong with it,
and is an error only when its name is asked for. Two plugins of one name are broken both.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from avbench.errors import InputError, did_you_mean

Kind = Literal["strategy", "scenario"]

_FOLDERS: dict[Kind, tuple[str, ...]] = {
    "strategy": ("avbench.strategies", "avbench.baselines"),
    "scenario": ("avbench.scenarios",),
}
_GROUPS: dict[Kind, str] = {"strategy": "avbench.strategies", "scenario": "avbench.scenarios"}
_BASES: dict[Kind, tuple[str, str]] = {
    "strategy": ("avbench.method", "Method"),
    "scenario": ("avbench.scenario", "Scenario"),
}


@dataclass(frozen=True)
class Plugin:
    """A strategy or scenario that can be used.

    Attributes:
        name: on the command line.
        origin: where it comes from.
        cls: its class.
        code: names the code that is not avbench's own: a digest of a plugin file, or package and version of
            an entry point; "" for what is built in.
    """

    name: str
    origin: str
    cls: type[Any]
    code: str = ""

    @property
    def sentence(self) -> str:
        """The first sentence of its docstring."""
        return first_sentence(self.cls)


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin that was found and cannot be used: its name, where it comes from, and why."""

    name: str
    origin: str
    reason: str


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
            reason = "two plugins have this name; rename one or uninstall its package"
            found = BrokenPlugin(found.name, both, reason)
        if isinstance(found, Plugin):
            self.plugins[found.name] = found
        else:
            self.broken[found.name] = found


def catalogue(kind: Kind, files: Sequence[Path] = ()) -> Catalogue:
    """Return all strategies or all scenarios: built in, of installed packages, and of plugin `files`.

    Raises:
        InputError: one of `files` is missing, cannot be imported, or defines no plugin of any kind.
    """
    found = Catalogue(kind)
    own_files = set()
    for path, name, origin in _built_in_files(kind):
        own_files.add(path)
        if plugin := _from_module(name, origin, kind):
            found.add(plugin)
    for point in sorted(entry_points(group=_GROUPS[kind]), key=lambda point: point.name):
        found.add(_from_entry_point(point, kind))
    for path in files:
        # A built-in file given by hand as well is one plugin, not two of one name.
        if path.resolve() not in own_files and (plugin := _from_file(path, kind)):
            found.add(plugin)
    return found


def _built_in_files(kind: Kind) -> Iterator[tuple[Path, str, str]]:
    """Files of the plugin folders: path, name as a plugin, name as a module."""
    for folder in _FOLDERS[kind]:
        for place in importlib.import_module(folder).__path__:
            for path in sorted(Path(place).glob("[!_]*.py")):
                yield path.resolve(), _name(path.stem), f"{folder}.{path.stem}"


def _from_module(name: str, origin: str, kind: Kind) -> Plugin | BrokenPlugin | None:
    """The plugin in a file of a plugin folder; None where the file is a helper of others."""
    try:
        module = importlib.import_module(origin)
    # A file one is working on must not keep the other plugins from working.
    except Exception as error:
        return BrokenPlugin(name, origin, f"its import failed with {type(error).__name__}: {error}")
    classes = _plugin_classes(module, kind)
    if not classes:
        return None
    return Plugin(name, origin, classes[0]) if len(classes) == 1 else _ambiguous(name, origin, classes, kind)


def _from_entry_point(point: EntryPoint, kind: Kind) -> Plugin | BrokenPlugin:
    name = _name(point.name)
    owner = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
    origin = f"{owner} ({point.value})"
    try:
        loaded = point.load()
    # Someone else's code may raise anything; it must not keep the other plugins from working.
    except Exception as error:
        return BrokenPlugin(name, origin, f"its import failed with {type(error).__name__}: {error}")
    if isinstance(loaded, ModuleType):
        classes = _plugin_classes(loaded, kind)
        if len(classes) != 1:
            return _ambiguous(name, origin, classes, kind)
        loaded = classes[0]
    if not (isinstance(loaded, type) and issubclass(loaded, base_of(kind))):
        module, base = _BASES[kind]
        return BrokenPlugin(name, origin, f"it is not a subclass of {module}.{base}")
    return Plugin(name, origin, loaded, code=origin)


def _from_file(path: Path, kind: Kind) -> Plugin | None:
    """The plugin of `kind` in the file at `path`; None where the file holds one of the other kind."""
    if not path.is_file():
        raise InputError(f"--plugin {path}: there is no such file")
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise InputError(
            f"--plugin {path}: a plugin is a Python file with a plain name, such as my_method.py"
        )
    module = _import_file(path.resolve())
    classes = {each: _plugin_classes(module, each) for each in _BASES}
    if len(classes[kind]) > 1:
        raise InputError(f"--plugin {path}: {_ambiguous(path.stem, str(path), classes[kind], kind).reason}")
    if classes[kind]:
        code = hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
        return Plugin(_name(path.stem), str(path), classes[kind][0], code=code)
    if not any(classes.values()):
        raise InputError(
            f"--plugin {path}: it defines no public subclass of avbench.method.Method or of "
            "avbench.scenario.Scenario"
        )
    return None


def _import_file(path: Path) -> ModuleType:
    # The name holds the path, so that two files of one stem are two modules.
    name = f"avbench_plugin_{hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"--plugin {path}: Python cannot import it")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(
            f"--plugin {path}: its import failed with {type(error).__name__}: {error}"
        ) from error
    return module


def _plugin_classes(module: ModuleType, kind: Kind) -> list[type[Any]]:
    base = base_of(kind)
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]


def base_of(kind: Kind) -> type[Any]:
    """Return the class that plugins of `kind` extend; imported here, as it brings torch along."""
    module, name = _BASES[kind]
    base = getattr(importlib.import_module(module), name)
    assert isinstance(base, type)
    return base


def _ambiguous(name: str, origin: str, classes: list[type[Any]], kind: Kind) -> BrokenPlugin:
    if not classes:
        module, base = _BASES[kind]
        return BrokenPlugin(name, origin, f"it defines no public subclass of {module}.{base}")
    names = ", ".join(cls.__name__ for cls in classes)
    return BrokenPlugin(name, origin, f"it defines several plugin classes ({names}); keep one a file")


def _name(stem: str) -> str:
    return stem.replace("_", "-")


def first_sentence(cls: type[Any]) -> str:
    """Return the first paragraph of the docstring of `cls` on one line, "" where it has none."""
    text = inspect.getdoc(cls) if cls.__doc__ else None
    return " ".join((text or "").partition("\n\n")[0].split())
