"""Where records lie, and how they are written and read; needs no torch.

    results/runs/<scenario>/<strategy>/<source>-<backbone>-<identity>-seed<seed>.json

What a record holds is in `avbench.records`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from avbench.errors import DataError, did_you_mean
from avbench.files import write_text
from avbench.records import RunRecord


def record_path(results: Path, configuration: Mapping[str, Any], *, source: str, identity: str) -> Path:
    """Return where the record of this run belongs below the folder `results`."""
    name = f"{source}-{configuration['backbone']}-{identity}-seed{configuration['seed']}.json"
    folder = results / "runs" / str(configuration["scenario"]) / str(configuration["strategy"])
    return folder / name


def log_folder(results: Path, record: Path) -> Path:
    """Return where the logs of a run belong (`avbench.tracking`), from the path of its record."""
    return results / "logs" / record.relative_to(results / "runs").with_suffix("")


def to_json(record: RunRecord) -> str:
    """Return the record as JSON with one line a row of numbers, so that a person can read and compare it."""
    text = json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    # A line break stands only between values: within texts JSON writes it as two characters.
    flat = re.compile(r"\[\n\s*([^\[\]{}\"]*?)\n\s*\]")
    return flat.sub(lambda found: "[" + re.sub(r"\s+", " ", found[1]) + "]", text) + "\n"


def write_record(record: RunRecord, path: Path) -> None:
    """Write `record` to `path`, whole or not at all: beside, flushed to the disk, renamed.

    Raises:
        DataError: the file could not be written, for instance because the disk is full.
    """
    write_text(path, to_json(record), "the record")


def read_record(path: Path) -> RunRecord:
    """Read the record at `path`.

    Raises:
        DataError: the file is missing, damaged, of another layout, or no record at all.
    """
    try:
        return RunRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"the record {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a run record: it is not text ({error.reason})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(
            f"{path} is not a run record this avbench can read: {where}: {first['msg']} "
            f"({error.error_count()} problem(s)); move it out of the results folder or make it again"
        ) from error


def read_records(results: Path, *, scenario: str | None = None) -> list[RunRecord]:
    """Read all records below the folder `results`, or those of one scenario, sorted by their path.

    A folder without records gives an empty list.

    Raises:
        DataError: a file there is damaged or foreign; the message names it.
    """
    return [read_record(path) for path in record_files(results, scenario=scenario)]


def record_files(results: Path, *, scenario: str | None = None) -> list[Path]:
    """Return the paths of the records below `results`, sorted; of all scenarios or of one.

    Raises:
        DataError: there are records, but none of `scenario`.
    """
    runs = results / "runs"
    if scenario is None:
        return _json_files(runs.glob("*/*/*.json"))
    found = _json_files((runs / scenario).glob("*/*.json"))
    others = {path.parent.parent.name for path in runs.glob("*/*/*.json")}
    if not found and others:
        raise DataError(f"{runs} has no records of {scenario!r}{did_you_mean(scenario, others)}")
    return found


def _json_files(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if not path.name.startswith("."))
