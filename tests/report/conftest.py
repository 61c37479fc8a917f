"""Folders of made-up records, and reports without the time that drawing takes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from avbench.record_files import record_path, write_record
from avbench.records import RunRecord
from avbench.report import making
from avbench.report.study import Study, read_study


def _png() -> bytes:
    """One white pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    header = chunk(b"IHDR", bytes([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0\xff")) + chunk(b"IEND", b"")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are not drawn, for tests of what is around them."""
    contents = {"png": _png(), "pdf": b"%PDF-1.4 made up"}
    monkeypatch.setattr(making, "drawn", lambda figure, form, **_: contents[form])


@pytest.fixture
def results(tmp_path: Path) -> Callable[[Iterable[RunRecord]], Path]:
    """`results(records)` is a folder of results that has them."""

    def make(records: Iterable[RunRecord]) -> Path:
        for record in records:
            named = record.configuration | {"scenario": record.scenario}
            place = record_path(tmp_path / "results", named, source=record.source, identity=record.identity)
            write_record(record, place)
        return tmp_path / "results"

    return make


@pytest.fixture
def study(results: Any) -> Callable[[Iterable[RunRecord]], Study]:
    """`study(records)` is what a report of them is about."""
    return lambda records: read_study(results(records))


@pytest.fixture
def run(make_record: Any) -> Callable[..., RunRecord]:
    """`run(strategy, seed, **options)` is a finished run at the defaults of all other options.

    Its memory is 200 clips where the method has one; `backbone` "base" has 2000.
    """

    def make(strategy: str = "er", seed: int = 0, backbone: str = "tiny", **changes: Any) -> RunRecord:
        options: dict[str, Any] = {"capacity": 200 if backbone == "tiny" else 2000}
        if strategy == "avcl":
            chunk = 1 if backbone == "tiny" else 4
            options |= {"core_ratio": 0.5, "chunk": chunk, "temperature": 0.4, "penalty": 0.5}
            options |= {"selection": "avcl"}
        elif strategy in ("random", "mats"):
            options |= {"core_ratio": 0.5, "penalty": 0.5}
        elif strategy in ("finetune", "multitask"):
            options = {}
        options |= {name: changes.pop(name) for name in ("capacity", "selection") if name in changes}
        settings = {"backbone": backbone, "memory": options.get("capacity")}
        scenario = changes.get("scenario", "vggsound-stream")
        settings |= {"scenario": scenario} | changes.pop("settings", {})
        record: RunRecord = make_record(strategy, seed, options=options, settings=settings, **changes)
        return record

    return make
