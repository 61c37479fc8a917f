"""What built-in plugins declare, read from their source without running it, so that no torch is needed.

A record keeps every option of its run. Which of them were the defaults is told by the signature of the
plugin's constructor; `avbench.options` reads it from the class, this module from the file.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from avbench.plugin_loading import Kind, built_in_files

_BASES = {"Method", "Scenario"}


@dataclass(frozen=True)
class Declared:
    """What a plugin's source says.

    Attributes:
        options: defaults by option, as far as they are written as plain values.
        published_training: see `avbench.scenario.Scenario`; of strategies empty.
    """

    options: dict[str, Any]
    published_training: dict[str, Any]


@cache
def declared(kind: Kind, name: str) -> Declared | None:
    """Return what the built-in plugin `name` declares; None where avbench has none of that name."""
    for _, known, module in built_in_files(kind):
        if known == name:
            for found in _classes(module):
                family = list(_family(module, found))
                if family[-1][1].name in _BASES and not found.name.startswith("_"):
                    return Declared(_options(family), _published_training(family))
    return None


def _classes(module: str) -> list[ast.ClassDef]:
    return [node for node in _source(module).body if isinstance(node, ast.ClassDef)]


@cache
def _source(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return ast.Module([], [])
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _family(module: str, found: ast.ClassDef) -> Iterator[tuple[str, ast.ClassDef]]:
    """The class, its first base, that one's first base and so on, each with the module it is defined in."""
    yield module, found
    if not found.bases or not isinstance(found.bases[0], ast.Name) or found.name in _BASES:
        return
    base = found.bases[0].id
    for node in _source(module).body:
        if isinstance(node, ast.ClassDef) and node.name == base:
            yield from _family(module, node)
        elif isinstance(node, ast.ImportFrom) and base in {alias.name for alias in node.names}:
            folder = module.rpartition(".")[0]
            source = f"{folder}.{node.module}" if node.level else str(node.module)
            if not source.startswith("avbench."):
                return
            for other in _classes(source):
                if other.name == base:
                    yield from _family(source, other)


def _options(family: list[tuple[str, ast.ClassDef]]) -> dict[str, Any]:
    """Defaults of the constructor that the class has or inherits."""
    for _, member in family:
        for node in member.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
                return {
                    each.arg: default.value for each, default in pairs if isinstance(default, ast.Constant)
                }
    return {}


def _published_training(family: list[tuple[str, ast.ClassDef]]) -> dict[str, Any]:
    for _, member in family:
        for node in member.body:
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "published_training":
                return dict(ast.literal_eval(node.value)) if node.value is not None else {}
    return {}
