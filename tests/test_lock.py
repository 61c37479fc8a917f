"""Locks: one holder at a time, none after it ended."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest

from avbench.errors import DataError, RunError
from avbench.lock import held, is_held


def hold(path: Path, ready: object) -> None:
    with held(path, "this run"):
        ready.set()  # type: ignore[attr-defined]
        signal.pause()


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds `record.json`."""
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path / "record.json", ready), daemon=True)
    process.start()
    assert ready.wait(30)
    yield process
    process.kill()
    process.join()


def test_second_is_told_who_holds_it(tmp_path: Path, holder) -> None:
    refused = pytest.raises(RunError, match=rf"this run is held by process {holder.pid} on ")
    with refused, held(tmp_path / "record.json", "this run"):
        pass


def test_a_dead_process_holds_nothing(tmp_path: Path, holder) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with held(tmp_path / "record.json", "this run"):
        pass


def test_one_may_ask_whether_it_is_held(tmp_path: Path, holder) -> None:
    assert is_held(tmp_path / "record.json")
    assert not is_held(tmp_path / "other.json")
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert not is_held(tmp_path / "record.json")
    with held(tmp_path / "record.json", "this run"):
        assert is_held(tmp_path / "record.json")
    assert not is_held(tmp_path / "record.json")


def test_second_may_wait(tmp_path: Path, holder) -> None:
    said: list[str] = []

    def wait_seen(sentence: str) -> None:
        said.append(sentence)
        threading.Timer(0.1, lambda: os.kill(holder.pid, signal.SIGKILL)).start()

    with held(tmp_path / "record.json", "this run", wait=wait_seen):
        pass
    assert said[0].startswith(f"this run is held by process {holder.pid}")


def test_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "record.json"
    with held(path, "this run"):
        assert list(path.parent.iterdir())
    assert list(path.parent.iterdir()) == []
    with held(path, "this run"), held(path.with_name("other.json"), "another"):
        pass


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="File exists; free"), held(tmp_path / "file" / "a", "this run"):
        pass

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        refused = pytest.raises(DataError, match="No space left on device")
        with refused, held(tmp_path / "record.json", "this run"):
            pass
    # Nothing is left that would be taken for a holder.
    with held(tmp_path / "record.json", "this run"):
        pass
