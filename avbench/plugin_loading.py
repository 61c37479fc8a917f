"""How the class of one plugin is loaded: from avbench itself, an installed package, a file, or by its name.

Someone else's code may raise anything when it is imported. What an installed package raises is told in a
`BrokenPlugin`, so that it does not take the others down; what was named by hand is an `InputError`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from avbench.errors import InputError, did_you_mean
from avbench.plugin_code import code_name, digest, owner_of

Kind = Literal["strategy", "scenario"]

GivenPlugin = str | os.PathLike[str]
"""A plugin as a person names it, `--plugin`: the path of a file, or "package.module:Class"."""

_FOLDERS: dict[Kind, tuple[str, ...]] = {
    "strategy": ("avbench.strategies", "avbench.baselines"),
    "scenario": ("avbench.scenarios",),
}
_BASES: dict[Kind, tuple[str, str]] = {
    "strategy": ("avbench.method", "Method"),
    "scenario": ("avbench.scenario", "Scenario"),
}
_CLASS_OF_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
# Of capitals in a row all but the last stay together: MyER is my-er, LwF and GDumb are one word.
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z]\w)|(?<=[A-Z]{2})(?=[A-Z][a-z])")


@dataclass(frozen=True)
class Plugin:
    """A strategy or scenario that can be used.

    Attributes:
        name: on the command line.
        origin: where it comes from.
        cls: its class.
        code: names the code that is not avbench's own: package and version, or a digest of the file where
            there is none, or where the package is installed editable; "" for what is built in.
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


def built_in_files(kind: Kind) -> Iterator[tuple[Path, str, str]]:
    """Yield the files of the plugin folders: path, name as a plugin, name as a module."""
    for folder in _FOLDERS[kind]:
        for place in importlib.import_module(folder).__path__:
            for path in sorted(Path(place).glob("[!_]*.py")):
                yield path.resolve(), _hyphened(path.stem), f"{folder}.{path.stem}"


def from_module(name: str, origin: str, kind: Kind) -> Plugin | BrokenPlugin | None:
    """Return the plugin in a file of a plugin folder; None where the file is a helper of others."""
    try:
        module = importlib.import_module(origin)
    # A file one is working on must not keep the other plugins from working.
    except (Exception, SystemExit) as error:
        return BrokenPlugin(name, origin, _import_failed(error))
    classes = _plugin_classes(module, kind)
    if not classes:
        return None
    return Plugin(name, origin, classes[0]) if len(classes) == 1 else _ambiguous(name, origin, classes, kind)


def from_entry_point(point: EntryPoint, kind: Kind) -> Plugin | BrokenPlugin:
    """Return the plugin of an installed package."""
    name = _hyphened(point.name)
    owner = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
    origin = f"{owner} ({point.value})"
    try:
        loaded = point.load()
    # Someone else's code may raise anything; it must not keep the other plugins from working.
    except (Exception, SystemExit) as error:
        return BrokenPlugin(name, origin, _import_failed(error))
    if isinstance(loaded, ModuleType):
        classes = _plugin_classes(loaded, kind)
        if len(classes) != 1:
            return _ambiguous(name, origin, classes, kind)
        loaded = classes[0]
    if not (isinstance(loaded, type) and issubclass(loaded, base_of(kind))):
        module, base = _BASES[kind]
        return BrokenPlugin(name, origin, f"it is not a subclass of {module}.{base}")
    return Plugin(name, origin, loaded, code=code_name(origin, loaded, point.dist))


def from_given(given: GivenPlugin, kind: Kind) -> Plugin | None:
    """Return the plugin of `kind` that a person named; None where it is one of the other kind.

    Raises:
        InputError: it is missing, cannot be imported, or is no plugin of any kind.
    """
    text = os.fspath(given)
    return _from_class(text, kind) if _CLASS_OF_MODULE.fullmatch(text) else _from_file(Path(text), kind)


def _from_class(text: str, kind: Kind) -> Plugin | None:
    """The plugin "package.module:Class" of an importable package."""
    from avalanche.core import BasePlugin

    from avbench.avalanche_plugins import method_of

    module_name, _, class_name = text.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise InputError(f"--plugin {text}: {_import_failed(error)}") from error
    cls = getattr(module, class_name, None)
    if not isinstance(cls, type):
        names = [name for name, value in vars(module).items() if isinstance(value, type)]
        raise InputError(f"--plugin {text}: {module_name} has no such class{did_you_mean(class_name, names)}")
    owner = owner_of(module_name)
    origin = text if owner is None else f"{owner.name} {owner.version} ({text})"
    name, code = _hyphened(_WORDS.sub("-", cls.__name__)).lower(), code_name(origin, cls, owner)
    if issubclass(cls, base_of(kind)):
        return Plugin(name, origin, cls, code=code)
    if any(issubclass(cls, base_of(each)) for each in _BASES):
        return None
    if not issubclass(cls, BasePlugin):
        raise InputError(
            f"--plugin {text}: it is a subclass neither of avbench.method.Method, nor of "
            "avbench.scenario.Scenario, nor of Avalanche's BasePlugin, whose hooks a training calls"
        )
    if kind != "strategy":
        return None
    try:
        method = method_of(cls)
    except InputError as error:
        raise InputError(f"--plugin {text}: {error}") from error
    return Plugin(name.removesuffix("plugin").rstrip("-"), origin, method, code=code)


def _from_file(path: Path, kind: Kind) -> Plugin | None:
    """The plugin of `kind` in the file at `path`; None where the file holds one of the other kind."""
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise InputError(
            f"--plugin {path}: a plugin is a Python file with a plain name, such as my_method.py, or a class "
            "of an installed package, package.module:Class"
        )
    if not path.is_file():
        raise InputError(f"--plugin {path}: there is no such file")
    module = _import_file(path.resolve())
    classes = {each: _plugin_classes(module, each) for each in _BASES}
    if len(classes[kind]) > 1:
        raise InputError(f"--plugin {path}: {_ambiguous(path.stem, str(path), classes[kind], kind).reason}")
    if classes[kind]:
        return Plugin(_hyphened(path.stem), str(path), classes[kind][0], code=digest(path))
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
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(f"--plugin {path}: {_import_failed(error)}") from error
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


def _import_failed(error: BaseException) -> str:
    return f"its import failed with {type(error).__name__}: {error}"


def _ambiguous(name: str, origin: str, classes: list[type[Any]], kind: Kind) -> BrokenPlugin:
    if not classes:
        module, base = _BASES[kind]
        return BrokenPlugin(name, origin, f"it defines no public subclass of {module}.{base}")
    names = ", ".join(cls.__name__ for cls in classes)
    return BrokenPlugin(name, origin, f"it defines several plugin classes ({names}); keep one a file")


def _hyphened(stem: str) -> str:
    return stem.replace("_", "-")


def first_sentence(cls: type[Any]) -> str:
    """Return the first paragraph of the docstring of `cls` on one line, "" where it has none."""
    text = inspect.getdoc(cls) if cls.__doc__ else None
    return " ".join((text or "").partition("\n\n")[0].split())
