"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from avbench.errors import DataError


def write_text(path: Path, text: str, what: str) -> None:
    """Write `text` to `path` in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"), what)


def write_bytes(path: Path, content: bytes, what: str) -> None:
    """Write `content` to `path`: beside, flushed to the disk, renamed, which is flushed; folders are made.

    Args:
        path: the file, replaced if it is there.
        content: of the file.
        what: what to call it in a message, such as "the record".

    Raises:
        DataError: it could not be written, for instance because the disk is full; what was there stays.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder_to_disk(path.parent)
    except OSError as error:
        if beside.exists():
            beside.unlink()
        raise DataError(
            f"{what} {path} could not be written: {error.strerror or error}; "
            "free space or choose another folder"
        ) from error


def folder_to_disk(folder: Path) -> None:
    """Return when the names in `folder` are on the disk, where a power cut does not undo them."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
