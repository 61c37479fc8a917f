"""What names the code of a plugin: a version where it settles what the code is, else a digest."""

from __future__ import annotations

import importlib
from importlib.metadata import version

import pydantic

from avbench.plugin_code import code_name, owner_of


def test_an_installed_package_is_named_by_its_version() -> None:
    owner = owner_of("pydantic.main")
    assert owner is not None
    assert (owner.name, owner.version) == ("pydantic", version("pydantic"))
    assert code_name("its origin", pydantic.BaseModel, owner) == "its origin"
    assert owner_of("json") is None


def test_a_class_of_no_package_is_named_by_its_file(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    names = []
    for number, text in enumerate(["class Mine: ...\n", "class Mine: ...\n", "class Mine: ...  # edited\n"]):
        path = tmp_path / f"plugin_code_{number}.py"
        path.write_text(text)
        names.append(code_name("mine", importlib.import_module(path.stem).Mine, None))
    first, same, edited = names
    assert first.startswith("mine ")
    assert first == same
    assert first != edited
