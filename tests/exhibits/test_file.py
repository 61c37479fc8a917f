"""What the pictures of a run need, as a file beside its record."""

from __future__ import annotations

import io
import re
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

from avbench.errors import DataError
from avbench.exhibits.file import exhibits_of, exhibits_path, read_exhibits, write_exhibits
from avbench.record_files import record_files, record_path, write_record


def same(one, other):
    """Whether two things made of dataclasses and arrays are alike in every value and type."""
    if is_dataclass(one):
        return type(one) is type(other) and all(
            same(getattr(one, each.name), getattr(other, each.name)) for each in fields(one)
        )
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return type(one) is type(other) and one == other


@pytest.fixture
def record(make_record):
    return make_record("avcl", 1)


@pytest.fixture
def written(record, make_exhibits, tmp_path):
    """Exhibits beside a record, and their path."""
    path = record_path(tmp_path, record.configuration, source=record.source, identity=record.identity)
    write_record(record, path)
    exhibits = make_exhibits(record)
    write_exhibits(exhibits, exhibits_path(path))
    return exhibits, exhibits_path(path)


def test_what_is_written_is_read(record, written, tmp_path):
    exhibits, path = written
    assert path.name == f"rendered-tiny-{record.identity}-seed1.exhibits.npz"
    assert same(read_exhibits(path, record), exhibits)
    assert same(exhibits_of(tmp_path, record), exhibits)
    # Nothing takes it for a record, and nothing is left beside.
    assert len(record_files(tmp_path)) == 1
    assert len(list(path.parent.iterdir())) == 2


def test_a_method_that_selects_nothing_has_a_gallery_alone(record, make_exhibits, tmp_path):
    exhibits = make_exhibits(record, selects=False)
    write_exhibits(exhibits, tmp_path / "a.exhibits.npz")
    assert same(read_exhibits(tmp_path / "a.exhibits.npz", record), exhibits)


def test_scores_that_a_method_has_not_stay_away(record, make_exhibits, tmp_path):
    exhibits = make_exhibits(record)
    selected = exhibits.selected
    selected = replace(selected, audio=replace(selected.audio, importance=None, pruning=None))
    exhibits = replace(exhibits, selected=selected)
    write_exhibits(exhibits, tmp_path / "a.exhibits.npz")
    assert same(read_exhibits(tmp_path / "a.exhibits.npz", record), exhibits)


def test_a_run_may_have_left_none(record, tmp_path):
    assert exhibits_of(tmp_path, record) is None
    with pytest.raises(DataError, match="cannot be read"):
        read_exhibits(tmp_path / "a.exhibits.npz", record)


def test_the_same_exhibits_give_the_same_bytes(written, tmp_path):
    exhibits, path = written
    write_exhibits(exhibits, tmp_path / "again.npz")
    assert path.read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_those_of_another_run_are_refused(record, written, make_record):
    _, path = written
    for other in (make_record("avcl", 2), make_record("avcl", 1, options={"chunk": 2})):
        with pytest.raises(
            DataError, match=rf"of the run {record.identity}, seed 1, not of {other.identity}"
        ):
            read_exhibits(path, other)
    with pytest.raises(DataError, match="another version of this run"):
        read_exhibits(path, make_record("avcl", 1, modality_gap=[[0.5] * 8] * 7 + [[0.6] * 8]))


def test_a_damaged_file_is_never_read(record, written):
    _, path = written
    whole = path.read_bytes()
    draws = np.random.Generator(np.random.PCG64(0))
    refused = 0
    for damage in draws.integers(0, len(whole), 40).tolist():
        broken = bytearray(whole)
        broken[damage] ^= 0xFF
        path.write_bytes(broken)
        try:
            exhibits = read_exhibits(path, record)
        except DataError:
            refused += 1
            continue
        # Of a zip's fields some, such as dates, mean nothing to what is read.
        assert same(exhibits, written[0])
    assert refused > 20
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=re.escape(str(path))):
            read_exhibits(path, record)


def test_what_is_no_exhibit_is_refused(record, written, tmp_path):
    _, path = written
    path.write_text("{}")
    with pytest.raises(DataError, match="no exhibits this avbench can read"):
        read_exhibits(path, record)
    np.savez(path, numbers=np.arange(3))
    with pytest.raises(DataError, match="has no 'header'"):
        read_exhibits(path, record)
    np.save(path.with_suffix(".npy"), np.arange(3))
    with pytest.raises(DataError, match="no exhibits"):
        read_exhibits(path.with_suffix(".npy"), record)


def test_no_code_is_run_by_reading(record, written):
    _, path = written
    content = io.BytesIO()
    np.savez(content, header=np.array([print], dtype=object), allow_pickle=True)
    path.write_bytes(content.getvalue())
    with pytest.raises(DataError, match="allow_pickle=False"):
        read_exhibits(path, record)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("at_end/audio", lambda values: values[:-1]),
        ("at_start/gap", lambda values: values[:-1]),
        ("selected/video/kept", lambda values: values[:, :, :, :2]),
        ("selected/audio/pruning", lambda values: values[:1]),
        ("selected/task", lambda values: values[:1]),
        ("selected/frames", lambda values: values[..., :2]),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name, change, record, written):
    _, path = written
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **(arrays | {name: change(arrays[name])}))
    with pytest.raises(DataError, match=r"has shape|does not divide"):
        read_exhibits(path, record)
