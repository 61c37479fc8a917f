"""The registry: built-in plugins by file stem, entry points, files, and what is wrong with broken ones."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from avbench import registry
from avbench.errors import InputError
from avbench.method import Method
from avbench.registry import catalogue
from avbench.scenario import Scenario

METHOD = '''"""A method in a file."""
from avbench.method import Method

class {name}(Method):
    """Do {what}.

    Args:
        strength: how much of it.
    """

    paper = "none"

    def __init__(self, *, strength: float = 0.5) -> None:
        super().__init__()
        self.strength = strength
'''


class Distribution:
    """What an entry point knows of the package it is from."""

    def __init__(self, name: str) -> None:
        self.name, self.version = name, "1.2"

    def read_text(self, filename: str) -> None:
        """No direct_url.json: it is not installed editable."""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Pretend that packages with entry points are installed."""
    points: list[EntryPoint] = []
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    modules: list[str] = []

    def add(
        name: str, module: str, source: str, attribute: str = "", distribution: str = "some-package"
    ) -> None:
        (folder / f"{module}.py").write_text(source)
        importlib.invalidate_caches()
        modules.append(module)
        value = module + (f":{attribute}" if attribute else "")
        point = EntryPoint(name, value, "avbench.strategies")
        points.append(point._for(Distribution(distribution)))  # type: ignore[attr-defined]

    def found(*, group: str) -> list[EntryPoint]:
        return [point for point in points if point.group == group]

    monkeypatch.setattr(registry, "entry_points", found)
    yield add
    for module in modules:
        sys.modules.pop(module, None)


def test_built_in_strategies_are_named_by_their_files() -> None:
    found = catalogue("strategy")
    assert {"er", "finetune", "multitask"} <= set(found.plugins)
    assert found.broken == {}
    assert all(issubclass(plugin.cls, Method) for plugin in found.plugins.values())
    assert all("_" not in name for name in found.plugins)


def test_built_in_scenarios_are_named_by_their_files() -> None:
    found = catalogue("scenario")
    assert "vggsound-stream" in found.plugins
    assert all(issubclass(plugin.cls, Scenario) for plugin in found.plugins.values())


def test_helper_modules_are_no_plugins() -> None:
    assert "importance" not in catalogue("strategy").plugins


def test_every_built_in_plugin_says_what_it_is_and_where_from() -> None:
    for kind in ("strategy", "scenario"):
        for plugin in catalogue(kind).plugins.values():  # type: ignore[arg-type]
            assert plugin.sentence.endswith("."), plugin.name
            assert plugin.cls.paper, plugin.name


def test_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no strategy 'finetun' \(did you mean finetune\?\)"):
        catalogue("strategy").get("finetun")


def test_entry_point_of_a_class_and_of_a_module(install) -> None:  # type: ignore[no-untyped-def]
    install("my_method", "their_method", METHOD.format(name="Theirs", what="this"), "Theirs")
    install("other", "their_other", METHOD.format(name="Other", what="that"))
    found = catalogue("strategy")
    assert found.get("my-method").sentence == "Do this."
    assert found.get("my-method").origin == "some-package 1.2 (their_method:Theirs)"
    assert found.get("other").cls.__name__ == "Other"


@pytest.mark.parametrize(
    ("source", "attribute", "reason"),
    [
        ("raise RuntimeError('no licence')", "", "its import failed with RuntimeError: no licence"),
        ("import nowhere_to_be_found", "X", "its import failed with ModuleNotFoundError"),
        ("class X: pass", "X", "not a subclass of avbench.method.Method"),
        ("class X: pass", "", "defines no public subclass of avbench.method.Method"),
        ("X = 3", "Y", "its import failed with AttributeError"),
    ],
)
def test_broken_package_is_named_and_leaves_the_others(install, source, attribute, reason) -> None:  # type: ignore[no-untyped-def]
    install("broken", "broken_module", source, attribute, distribution="sad-package")
    found = catalogue("strategy")
    assert "er" in found.plugins
    with pytest.raises(InputError, match=rf"'broken' of sad-package 1\.2 .*cannot be used: .*{reason}"):
        found.get("broken")


def test_name_clash_names_both_and_leaves_the_others(install) -> None:  # type: ignore[no-untyped-def]
    install("er", "their_er", METHOD.format(name="TheirER", what="this"), "TheirER")
    found = catalogue("strategy")
    assert "finetune" in found.plugins
    with pytest.raises(InputError, match=r"avbench\.baselines\.er and some-package 1\.2 .*two plugins"):
        found.get("er")


def test_two_packages_of_one_name_clash(install) -> None:  # type: ignore[no-untyped-def]
    install("new", "first_new", METHOD.format(name="A", what="this"), "A", distribution="first")
    install("new", "second_new", METHOD.format(name="B", what="that"), "B", distribution="second")
    with pytest.raises(InputError, match=r"first 1\.2 .* and second 1\.2"):
        catalogue("strategy").get("new")


def test_plugin_file(tmp_path: Path) -> None:
    path = tmp_path / "my_own.py"
    path.write_text(METHOD.format(name="MyOwn", what="my own thing"))
    plugin = catalogue("strategy", [path]).get("my-own")
    assert plugin.sentence == "Do my own thing."
    assert plugin.origin == str(path)
    assert plugin.code
    assert not catalogue("strategy").get("er").code
    assert catalogue("strategy", [path]).get("my-own").cls is plugin.cls
    assert "my-own" not in catalogue("scenario", [path]).plugins


def test_two_plugin_files_of_one_stem_clash(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "my_own.py" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(METHOD.format(name="MyOwn", what=path.parent.name))
    with pytest.raises(InputError, match=r"a/my_own\.py and .*b/my_own\.py"):
        catalogue("strategy", paths).get("my-own")


def test_built_in_file_given_as_plugin_is_the_same_plugin() -> None:
    er = sys.modules[catalogue("strategy").get("er").cls.__module__]
    assert er.__file__ is not None
    assert catalogue("strategy", [Path(er.__file__)]).get("er").cls is catalogue("strategy").get("er").cls


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("broken.py", "raise ValueError('oh')", "its import failed with ValueError: oh"),
        ("broken.py", "def f(:", "its import failed with SyntaxError"),
        ("empty.py", "", "defines no public subclass"),
        ("notes.txt", "", "a plugin is a Python file"),
        ("two words.py", "", "a plugin is a Python file"),
        (
            "two.py",
            METHOD.format(name="A", what="a") + METHOD.format(name="B", what="b"),
            r"several plugin classes \(A, B\)",
        ),
    ],
)
def test_plugin_file_that_cannot_be_one(tmp_path: Path, name: str, content: str, reason: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=rf"--plugin .*{reason}"):
        catalogue("strategy", [path])


def test_missing_plugin_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        catalogue("strategy", [tmp_path / "gone.py"])


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An importable package without a distribution: a method, a scenario, and a class that is neither."""
    folder = tmp_path / "their_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "parts.py").write_text(
        METHOD.format(name="MyMethod", what="it")
        + METHOD.format(name="MyER", what="that")
        + "from avbench.scenario import Scenario\n"
        + 'class MyStream(Scenario):\n    """Two tasks."""\n    def tasks(self):\n        return ()\n'
        + "class Neither: pass\nnumber = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield "their_package.parts"
    for name in ("their_package", "their_package.parts"):
        sys.modules.pop(name, None)


def test_class_of_an_importable_package(package: str) -> None:
    given = [f"{package}:MyMethod", f"{package}:MyER", f"{package}:MyStream"]
    strategies, scenarios = catalogue("strategy", given), catalogue("scenario", given)
    plugin = strategies.get("my-method")
    assert (plugin.sentence, plugin.origin) == ("Do it.", f"{package}:MyMethod")
    # No distribution tells a version: the code is named by a digest of its file.
    assert plugin.code.startswith(f"{package}:MyMethod ")
    assert strategies.get("my-er").cls.__name__ == "MyER"
    assert scenarios.get("my-stream").cls.__name__ == "MyStream"
    assert "my-stream" not in strategies.plugins
    assert "my-method" not in scenarios.plugins


def test_code_of_an_edited_file_is_another(package: str, tmp_path: Path) -> None:
    before = catalogue("strategy", [f"{package}:MyMethod"]).get("my-method").code
    with (tmp_path / "their_package" / "parts.py").open("a") as file:
        file.write("# edited\n")
    assert catalogue("strategy", [f"{package}:MyMethod"]).get("my-method").code != before


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("{}:MyMetod", r"has no such class \(did you mean MyMethod\?\)"),
        ("{}:number", "has no such class"),
        ("{}:Neither", "it is a subclass neither of avbench.method.Method"),
        ("my_own.py:MyOwn", "its import failed with ModuleNotFoundError"),
        ("{}.gone:X", "its import failed with ModuleNotFoundError"),
        ("{}", "a class of an installed package, package.module:Class"),
    ],
)
def test_class_that_cannot_be_a_plugin(package: str, given: str, reason: str) -> None:
    with pytest.raises(InputError, match=f"--plugin .*{reason}"):
        catalogue("strategy", [given.format(package)])


def test_built_in_or_installed_class_given_as_plugin_is_the_same_plugin(install) -> None:  # type: ignore[no-untyped-def]
    install("my_method", "their_method", METHOD.format(name="Theirs", what="this"), "Theirs")
    er = catalogue("strategy").get("er").cls
    found = catalogue("strategy", [f"{er.__module__}:{er.__name__}", "their_method:Theirs"])
    assert found.get("er").code == ""
    assert found.get("my-method").cls.__name__ == "Theirs"
    assert "theirs" not in found.plugins


@pytest.mark.parametrize(
    ("name", "cls"),
    [("my-method", "MyMethod"), ("lwf", "LwFPlugin"), ("gdumb", "GDumbPlugin"), ("gss-greedy", "GSS_greedy")],
)
def test_names_of_classes(package: str, tmp_path: Path, name: str, cls: str) -> None:
    method = f"from avbench.method import Method\nclass {cls}(Method):\n    pass\n"
    (tmp_path / "their_package" / "parts.py").write_text(method)
    found = catalogue("strategy", [f"{package}:{cls}"])
    assert name in {each.removesuffix("-plugin") for each in found.plugins}
