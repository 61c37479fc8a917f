"""Accuracy against the size of the rehearsal memory: what is one curve, in clips and in bytes."""

from __future__ import annotations

from typing import Any

from avbench.records import KindOfMemory, Memory
from avbench.report.content import Picture, Sheet, Words
from avbench.report.memory_curve import memory_curve, methods_by_size


def held(mebibytes: int) -> Memory:
    return Memory(kinds=[KindOfMemory(kind="rehearsal memory", bytes=mebibytes * 2**20)])


def test_a_curve_is_of_one_method_with_several_sizes(study: Any, run: Any) -> None:
    records = [
        run("er", seed, capacity=size, memory=held(size // 10))
        for size in (500, 2000, 1000)
        for seed in (0, 1)
    ]
    records += [run("avcl"), run("avcl", selection="lpis"), run("finetune")]
    (stream,) = study(records).streams
    (found,) = methods_by_size(stream)
    assert found.label == "er"
    assert [entry.runs[0].configuration["memory"] for entry in found.entries] == [500, 1000, 2000]
    assert all(len(entry.runs) == 2 for entry in found.entries)


def test_sizes_in_clips_and_in_bytes_are_one_curve(study: Any, run: Any) -> None:
    sizes = {50: 4, "16MiB": 16, 200: 17}
    section = memory_curve(study([run("er", capacity=size, memory=held(mib)) for size, mib in sizes.items()]))
    (sheet,) = [item for item in section.items if isinstance(item, Sheet)]
    assert [(row[0], row[1], row[3].value) for row in sheet.blocks[0].rows] == [
        ("er", "50", 4), ("er", "16MiB", 16), ("er", "200", 17),
    ]  # fmt: skip
    (picture,) = [item for item in section.items if isinstance(item, Picture)]
    clips, mebibytes = picture.figure.axes
    # A size in bytes has no place on the axis of clips.
    assert list(clips.containers[0].lines[0].get_xdata()) == [50, 200]
    assert list(mebibytes.containers[0].lines[0].get_xdata()) == [4, 16, 17]


def test_other_options_are_other_curves(study: Any, run: Any) -> None:
    records = [run("avcl", selection=kind, capacity=size) for kind in ("avcl", "rca") for size in (50, 200)]
    (stream,) = study(records).streams
    assert [sizes.label for sizes in methods_by_size(stream)] == ["avcl", "avcl (selection=rca)"]


def test_without_several_sizes_the_section_says_so(study: Any, run: Any) -> None:
    section = memory_curve(study([run("er"), run("avcl"), run("finetune")]))
    assert any(isinstance(item, Words) and item.text.startswith("Missing") for item in section.items)
    assert not [item for item in section.items if isinstance(item, Picture | Sheet)]
