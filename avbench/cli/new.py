"""`avbench new`: the files of a method of one's own, to start from."""

from __future__ import annotations

import datetime
import importlib.util
import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer
from rich.console import Console

from avbench.errors import InputError

app = typer.Typer(no_args_is_help=True, help="Write the files of a method of your own, to start from.")

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
# Imported by the file that is written: a class of this name would hide them.
_IMPORTED = {"Any", "Capacity", "InputError", "Method", "RehearsalMemory", "Strategy"}


@app.callback()
def new() -> None:
    """Write the files of a method of your own, to start from."""


@app.command("baseline")
def baseline(
    name: Annotated[str, typer.Argument(help="Of the method, such as my-method.")],
    *,
    folder: Annotated[Path, typer.Option(help="Where the files go.")] = Path("."),
) -> None:
    """Write a method that rehearses clips, commented, and its test.

    Example:

        avbench new baseline my-method
    """
    module = _module_of(name)
    words = module.split("_")
    values = {
        "module": module,
        "class_name": "".join(word[:1].upper() + word[1:] for word in words),
        "title": " ".join(words).capitalize(),
        "year": str(datetime.date.today().year),
    }
    if values["class_name"] in _IMPORTED:
        raise InputError(f"{name!r} would hide avbench's own {values['class_name']}: choose another name")
    written = {
        folder / f"{module}.py": _filled("baseline.py.txt", values),
        folder / f"test_{module}.py": _filled("test_baseline.py.txt", values),
    }
    if there := [str(path) for path in written if path.exists()]:
        raise InputError(f"{' and '.join(there)} exists already: choose another name or another --folder")
    _refuse_taken(name, module)
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
    _print_next(folder / f"{module}.py", folder / f"test_{module}.py", module.replace("_", "-"))


def _module_of(name: str) -> str:
    """The name of the method's module. Raises InputError where the name is no name of a method."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name.startswith("test"):
        raise InputError(
            f"{name!r} is no name for a method: use small letters, digits and hyphens, begin with a letter "
            "and not with test, such as my-method"
        )
    return name.replace("-", "_")


def _refuse_taken(name: str, module: str) -> None:
    from avbench.registry import catalogue

    called = module.replace("_", "-")
    for known in (catalogue("strategy"), catalogue("scenario")):
        taken = known.plugins.get(called) or known.broken.get(called)
        if taken is not None:
            raise InputError(f"{name!r} is taken by the {known.kind} of {taken.origin}: choose another name")
    if importlib.util.find_spec(module) is not None:
        raise InputError(f"{name!r} is taken: {module}.py would hide the Python module {module}")


def _filled(template: str, values: dict[str, str]) -> str:
    text = files("avbench").joinpath("templates", template).read_text(encoding="utf-8")
    return Template(text).substitute(values)


def _print_next(path: Path, test: Path, name: str) -> None:
    console = Console(highlight=False)
    for line in (
        f"Wrote {path} and {test}. Next:",
        "",
        f"  avbench check {path}",
        f"  pytest {test}",
        f"  avbench run -s {name} --plugin {path}",
    ):
        console.print(line, markup=False, soft_wrap=True)
