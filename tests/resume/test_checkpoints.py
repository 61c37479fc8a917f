"""Checkpoints are whole or not there, and hold nothing that runs."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from avbench.errors import DataError
from avbench.resume.checkpoints import last_checkpoint, read_checkpoint, remove_checkpoints, save_checkpoint


def state(number: int) -> dict[str, Any]:
    return {"weights": torch.full((100,), float(number)), "name": "a", "counts": [1, (2, 3.5)], "none": None}


@pytest.fixture
def told() -> list[str]:
    return []


def test_what_is_saved_comes_back(tmp_path, told) -> None:
    shared = torch.arange(4)
    given = {**state(1), "twice": [shared, shared], "bits": torch.tensor([float("nan")], dtype=torch.float16)}
    path = save_checkpoint(tmp_path, given, {"seed": 3})
    found = last_checkpoint(tmp_path, tell=told.append)
    assert found is not None
    assert found.path == path
    assert found.about == {"seed": 3}
    assert torch.equal(found.state["weights"], given["weights"])
    assert found.state["counts"] == [1, (2, 3.5)]
    assert found.state["bits"].isnan().all()
    assert found.state["twice"][0].data_ptr() == found.state["twice"][1].data_ptr()
    assert told == []


def test_the_last_two_are_kept(tmp_path, told) -> None:
    for number in range(4):
        save_checkpoint(tmp_path, state(number), {})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["000003", "000004"]
    found = last_checkpoint(tmp_path, tell=told.append)
    assert found is not None
    assert found.state["weights"][0] == 3


@pytest.mark.parametrize("folder", ["missing", ""])
def test_no_checkpoint_is_none(tmp_path, told, folder) -> None:
    assert last_checkpoint(tmp_path / folder, tell=told.append) is None
    remove_checkpoints(tmp_path / "missing")


def flip_a_bit(path: Path) -> None:
    content = bytearray((path / "state.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "state.pt").write_bytes(content)


def cut_short(path: Path) -> None:
    os.truncate(path / "state.pt", 100)


def lose_the_state(path: Path) -> None:
    (path / "state.pt").unlink()


def lose_what_it_is(path: Path) -> None:
    (path / "checkpoint.json").unlink()


def cut_what_it_is(path: Path) -> None:
    os.truncate(path / "checkpoint.json", 10)


def say_something_else(path: Path) -> None:
    (path / "checkpoint.json").write_text("[1]")


@pytest.mark.parametrize(
    "damage", [flip_a_bit, cut_short, lose_the_state, lose_what_it_is, cut_what_it_is, say_something_else]
)
def test_a_damaged_one_is_passed_over_and_told(tmp_path, told, damage) -> None:
    for number in range(2):
        save_checkpoint(tmp_path, state(number), {})
    damage(tmp_path / "000002")
    found = last_checkpoint(tmp_path, tell=told.append)
    assert found is not None
    assert found.state["weights"][0] == 0
    (sentence,) = told
    assert "000002" in sentence
    assert "passed over" in sentence
    # The next one does not take the place of the one before.
    assert save_checkpoint(tmp_path, state(9), {}).name == "000003"


def test_the_next_save_keeps_the_good_one_and_not_the_damaged(tmp_path, told) -> None:
    for number in range(2):
        save_checkpoint(tmp_path, state(number), {})
    flip_a_bit(tmp_path / "000002")
    assert last_checkpoint(tmp_path, tell=told.append) is not None
    # As long as nothing is saved, nothing is removed.
    assert sorted(each.name for each in tmp_path.iterdir()) == ["000001", "000002"]
    newest = save_checkpoint(tmp_path, state(9), {})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["000001", "000003"]
    # So that there is one to go on from where the newest is damaged as well.
    flip_a_bit(newest)
    found = last_checkpoint(tmp_path, tell=told.append)
    assert found is not None
    assert found.state["weights"][0] == 0


def test_a_half_written_one_is_not_seen_and_cleared_away(tmp_path, told) -> None:
    save_checkpoint(tmp_path, state(0), {})
    half = tmp_path / ".000002.part"
    half.mkdir()
    (half / "state.pt").write_bytes(b"half")
    found = last_checkpoint(tmp_path, tell=told.append)
    assert found is not None
    assert found.path.name == "000001"
    save_checkpoint(tmp_path, state(1), {})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["000001", "000002"]


def test_a_full_disk_leaves_the_one_before(tmp_path, told, monkeypatch) -> None:
    save_checkpoint(tmp_path, state(0), {})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DataError, match=r"000002 could not be written: No space left on device; free"):
            save_checkpoint(tmp_path, state(1), {})
    assert [each.name for each in tmp_path.iterdir()] == ["000001"]


def test_what_a_killed_process_left_is_cleared_away(tmp_path) -> None:
    folder = tmp_path / "run"
    for number in range(2):
        save_checkpoint(folder, state(number), {})
    # Killed while it removed an old one, and while it removed all.
    (folder / ".000000.part").mkdir()
    (tmp_path / ".run.part").mkdir()
    save_checkpoint(folder, state(2), {})
    assert sorted(each.name for each in folder.iterdir()) == ["000002", "000003"]
    remove_checkpoints(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_in_the_midst_is_told_as_such(tmp_path) -> None:
    # A limit on the size of a file stands in for a disk of that size.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DataError, match="could not be written: File too large; free space"):
            save_checkpoint(tmp_path, {"weights": torch.zeros(1_000_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


class Hostile:
    """Runs code where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.mark),))


def test_a_hostile_file_does_not_run_code(tmp_path) -> None:
    mark = tmp_path / "owned"
    # Whoever writes the file can write a checksum that holds, too.
    path = save_checkpoint(tmp_path / "run", {"weights": torch.zeros(2), "bad": Hostile(mark)}, {})
    assert json.loads((path / "checkpoint.json").read_text())["bytes"] > 0
    with pytest.raises(DataError, match="not tensors and plain data alone"):
        read_checkpoint(path)
    assert not mark.exists()
    torch.load(path / "state.pt", weights_only=False)
    assert mark.exists()  # the file was one that runs code, where that is let happen
