"""One process a piece of work: who holds it is written down, and a dead process holds nothing.

The lock is the operating system's (`flock`), which lets go when its holder ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from avbench.errors import DataError, RunError


@contextlib.contextmanager
def held(path: Path, what: str, *, wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the work that makes `path` for the length of a `with` block.

    Args:
        path: the file or folder to be made; the lock lies beside it.
        what: what to call the work in a message, such as "this run".
        wait: where another process holds it, tell this function who does and wait; None does not wait.

    Raises:
        RunError: another process holds it, and `wait` is None; the message says which and since when.
        DataError: the lock cannot be written, for instance because the disk is full.
    """
    place = _place(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        file = _taken(place, what, wait)
    except OSError as error:
        raise _unwritable(place, error) from error
    try:
        _sign(file, place)
        yield
    finally:
        # Removed while still held: whoever waits with this file open finds it gone and opens a new one.
        place.unlink(missing_ok=True)
        os.close(file)


def is_held(path: Path) -> bool:
    """Return whether a process holds the work that makes `path` now."""
    try:
        file = os.open(_place(path), os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _place(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _sign(file: int, place: Path) -> None:
    """Write into the lock file who holds it."""
    now = datetime.now(UTC)
    try:
        os.truncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()} since {now:%F %T} UTC".encode())
    except OSError as error:
        raise _unwritable(place, error) from error


def _unwritable(place: Path, error: OSError) -> DataError:
    return DataError(
        f"the lock {place} could not be written: {error.strerror or error}; "
        "free space, or choose a folder that can be written to"
    )


def _taken(place: Path, what: str, wait: Callable[[str], None] | None) -> int:
    """Return the lock file, opened and locked."""
    while True:
        file = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _take(file)
        except BlockingIOError:
            holder = os.read(file, 1000).decode(errors="replace") or "another process"
            if wait is None:
                os.close(file)
                raise RunError(
                    f"{what} is held by {holder}: wait for it, or end it (lock: {place})"
                ) from None
            wait(f"{what} is held by {holder}: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), place.stat()):
                return file
        os.close(file)


def _take(file: int) -> None:
    """Lock an open file; raise BlockingIOError where another process does more than look at it."""
    for _ in range(3):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # `is_held` holds it for a moment.
            time.sleep(0.02)
        else:
            return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
