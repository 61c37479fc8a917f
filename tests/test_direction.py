"""The direction of imports: who may know whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import avbench

PACKAGE = Path(avbench.__file__).parent
ROOT = PACKAGE.parent
PLUGIN_FOLDERS = ("strategies", "baselines", "scenarios")
HEAVY = {"torch", "torchvision", "torchaudio", "timm", "avalanche", "safetensors"}
# Of the standard library and avbench itself, and what the command line is made of.
LIGHT = {"typer", "rich", "avbench", *sys.stdlib_module_names}
# What reads records, and what computes on plain arrays.
WITHOUT_TORCH = (
    "avbench.tables", "avbench.table_notes", "avbench.table_formats", "avbench.plots", "avbench.figures",
    "avbench.comparison", "avbench.grids", "avbench.published", "avbench.records", "avbench.record_files",
    "avbench.retrieval", "avbench.forgetting", "avbench.exhibits.file", "avbench.exhibits.figures",
    "avbench.exhibits.overlays", "avbench.exhibits.projection", "avbench.declared",
    "avbench.defaults", "avbench.option_defaults", "avbench.task_curves", "avbench.report.making",
    "avbench.statistics.averages", "avbench.statistics.contest",
    "avbench.statistics.contest_formats", "avbench.statistics.estimates",
    "avbench.statistics.pairwise", "avbench.statistics.ranks", "avbench.statistics.scores",
    "avbench.statistics.significance",
)  # fmt: skip


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
PLUGINS = sorted(path for folder in PLUGIN_FOLDERS for path in (ROOT / folder).glob("*.py"))
COMMANDS = [name for name in MODULES if name.startswith("avbench.cli.")]


def imports(path: Path, *, everywhere: bool) -> set[str]:
    """Modules that a file imports: when it is imported itself, or `everywhere`, in its functions too.

    What is imported for type checkers alone counts everywhere only. Relative names keep their dots.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            found.add(source)
            # What is imported from a package may be a module of it.
            found |= {f"{source}.{alias.name}" for alias in node.names if f"{source}.{alias.name}" in MODULES}
    return found


def brought_along(name: str) -> set[str]:
    """All modules that importing an avbench module imports, other packages' by their first name."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        if module in MODULES:
            waiting += imports(MODULES[module], everywhere=False)
        # Importing a module imports the packages it is in.
        if "." in module:
            waiting.append(module.rpartition(".")[0])
    return {module if module in MODULES else module.partition(".")[0] for module in seen}


def test_the_files_are_found():
    assert {"avbench", "avbench.tables", "avbench.backbone.model", "avbench.cli.run"} <= MODULES.keys()
    assert {"avcl.py", "er.py", "vggsound_stream.py"} <= {path.name for path in PLUGINS}
    assert {"avbench.backbone.blocks", "torch"} <= brought_along("avbench.training")
    assert "avbench.rendered.cache" not in brought_along("avbench.cli.data")


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_plugins_import_avbench_and_siblings_alone(path):
    siblings = {file.stem for file in path.parent.glob("*.py")}
    for name in imports(path, everywhere=True):
        if name.startswith("."):
            assert name.lstrip(".").partition(".")[0] in siblings, f"{path} imports {name}"
            assert not name.startswith(".."), f"{path} imports {name}"
        else:
            first, _, rest = name.partition(".")
            assert first not in PLUGIN_FOLDERS, f"{path} imports {name}"
            if first == "avbench":
                assert rest.partition(".")[0] not in (*PLUGIN_FOLDERS, "cli"), f"{path} imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_avbench_imports_no_plugin(module):
    for name in imports(MODULES[module], everywhere=True):
        parts = name.strip(".").split(".")
        assert not set(parts[:2]) & set(PLUGIN_FOLDERS), f"{module} imports {name}"


@pytest.mark.parametrize("module", [name for name in MODULES if name not in ("avbench.cli", *COMMANDS)])
def test_only_the_command_line_knows_the_command_line(module):
    known = {".".join(name.split(".")[:2]) for name in imports(MODULES[module], everywhere=True)}
    assert "avbench.cli" not in known or module == "avbench.__main__"


@pytest.mark.parametrize(
    "module",
    ["avbench.training", "avbench.evaluation", "avbench.method", "avbench.store.reading", "avbench.records"],
)
def test_nothing_below_an_experiment_knows_experiments(module):
    assert not {"avbench.experiment", "avbench.configuration", "avbench.tables"} & brought_along(module)


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_what_reads_records_brings_no_torch(module):
    assert not HEAVY & brought_along(module)


@pytest.mark.parametrize("module", ["avbench.cli", *COMMANDS])
def test_commands_import_nothing_heavy_at_their_top(module):
    assert {name for name in brought_along(module) if "." not in name} <= LIGHT


def test_in_truth_as_in_the_source():
    light = ["avbench.cli", *WITHOUT_TORCH]
    code = (
        f"import importlib, sys\nfor name in {light}: importlib.import_module(name)\n"
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"
