"""Checkpoints on disk: there whole or not at all, checked when read, and unable to run code.

A checkpoint is a folder with a number, later ones higher:

    <folder>/<number>/state.pt          tensors and plain data, by torch.save
    <folder>/<number>/checkpoint.json   what it is of, and length and checksum of state.pt

Both are written into a folder beside it, flushed to the disk, and renamed into place together; the last two
that are whole, as far as is known, are kept. Of several processes that make a run each writes its own state,
state-<rank>.pt, and the checkpoint takes its place when all have: it is whole where every process finds its
own so.

Reading takes the newest whose checksum holds, with `torch.load(weights_only=True)`, which makes tensors and
plain data only.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import torch
import xxhash

from avbench import processes
from avbench.errors import DataError, RunError
from avbench.files import folder_to_disk, write_text

Result = TypeVar("Result")

KEPT = 2
_ABOUT = "checkpoint.json"
# Beside the two in a checkpoint that was passed over: says why. The next save removes it.
_DAMAGE = "damage.txt"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read: its state, what it says of itself, and its folder."""

    state: dict[str, Any]
    about: dict[str, Any]
    path: Path


class _Checked:
    """A file being written, with the checksum and length of what went into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = xxhash.xxh3_128()
        self.length = 0
        # Why a write failed: torch raises something else, which does not tell.
        self.failed: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._digest.update(view)
        try:
            self._file.write(view)
        except OSError as error:
            self.failed = error
            raise
        self.length += len(view)
        return len(view)

    def flush(self) -> None:
        self._file.flush()

    @property
    def checksum(self) -> str:
        return self._digest.hexdigest()


def save_checkpoint(folder: Path, state: Mapping[str, Any], about: Mapping[str, Any]) -> Path:
    """Write a checkpoint into `folder` and remove all but the last two; return its path.

    Of several processes all call this at the same step.

    Args:
        folder: of one run's checkpoints; made if need be. One run at a time writes there.
        state: tensors and plain data.
        about: what it is of: JSON data.

    Raises:
        DataError: it could not be written, for instance because the disk is full; earlier ones stay.
    """
    number = processes.of_first(max(_numbers(folder), default=0) + 1)
    beside, path = folder / f".{number:06d}.part", folder / f"{number:06d}"
    first = processes.rank() == 0
    try:
        _in_all(lambda: _make_anew(beside) if first else None)
        signatures = _in_all(lambda: _write_state(beside / _state_name(), state))
        _in_all(lambda: _put_in_place(beside, path, about, signatures) if first else None)
    except _NotWrittenError as error:
        if first:
            shutil.rmtree(beside, ignore_errors=True)
        raise DataError(
            f"the checkpoint {path} could not be written: {error}; free space and give the same command "
            "again, which goes on from the checkpoint before, or run without any (--no-checkpoints)"
        ) from error
    if first:
        _remove_old(folder)
    return path


def last_checkpoint(
    folder: Path, *, device: torch.device | str = "cpu", tell: Callable[[str], None]
) -> Checkpoint | None:
    """Return the newest whole checkpoint in `folder`, or None where there is none.

    Args:
        folder: of one run's checkpoints; it may be missing.
        device: where tensors go that were on an accelerator; others stay on the CPU.
        tell: is told of every checkpoint that is passed over because it is damaged, with the reason.

    Raises:
        RunError: it was made by another number of processes.
        DataError: a damaged one could not be marked, so that the next save takes it for none of the two.
    """
    for number in processes.of_first(sorted(_numbers(folder), reverse=True)):
        found, damage = None, ""
        try:
            found = read_checkpoint(folder / f"{number:06d}", device=device)
        except DataError as error:
            damage = str(error)
        damages = [each for each in processes.gathered(damage) if each]
        if not damages:
            return found
        tell(f"{damages[0]}: passed over")
        if processes.rank() == 0:
            write_text(folder / f"{number:06d}" / _DAMAGE, damages[0], "the note in the damaged checkpoint")
    return None


def read_checkpoint(path: Path, *, device: torch.device | str = "cpu") -> Checkpoint:
    """Read the checkpoint in the folder `path`.

    Raises:
        DataError: it is incomplete, damaged, or holds anything but tensors and plain data.
        RunError: it was made by another number of processes.
    """
    try:
        about = json.loads((path / _ABOUT).read_bytes())
        signatures = about.pop("processes") if "processes" in about else [_signature_of(about)]
        if len(signatures) != processes.count():
            raise RunError(
                f"the checkpoint {path} is of {len(signatures)} process(es), and here are "
                f"{processes.count()}: go on with as many, or start over with --again"
            )
        signature = signatures[processes.rank()]
        state_file = path / _state_name()
        if state_file.stat().st_size != signature["bytes"] or _checksum(state_file) != signature["xxh3_128"]:
            raise DataError(f"the checkpoint {path} is damaged: {state_file.name} is not what was written")
        state = torch.load(
            state_file,
            weights_only=True,
            map_location=partial(_placed, device=device),  # type: ignore[arg-type]
        )
    except OSError as error:
        raise DataError(f"the checkpoint {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"the checkpoint {path} is damaged: {_ABOUT} is not what was written") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"the checkpoint {path} is not tensors and plain data alone: {first}") from error
    return Checkpoint(state, about, path)


def any_checkpoint(folder: Path) -> bool:
    """Return whether there is a checkpoint in `folder`, whole or not."""
    return bool(_numbers(folder))


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints in `folder`, half-written ones too, and the folder: all at once or none."""
    # What was left of an earlier removal that was cut short.
    shutil.rmtree(folder.with_name(f".{folder.name}.part"), ignore_errors=True)
    if folder.is_dir():
        _remove(folder)


def _remove_old(folder: Path) -> None:
    """Remove all checkpoints but the last two, and those known to be damaged, which are none of the two."""
    paths = [folder / f"{number:06d}" for number in sorted(_numbers(folder))]
    damaged = [path for path in paths if (path / _DAMAGE).exists()]
    for old in [*damaged, *[path for path in paths if path not in damaged][:-KEPT]]:
        _remove(old)


class _NotWrittenError(Exception):
    """A process could not write its part of a checkpoint."""


def _in_all(work: Callable[[], Result]) -> list[Result | None]:
    """Do `work` in every process and return what it returns in each, in order of rank.

    Raises _NotWrittenError in every process where it fails in one.
    """
    done, reason = None, ""
    try:
        done = work()
    # torch tells some failures of writing as RuntimeError.
    except (OSError, RuntimeError) as error:
        told = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        reason = told or type(error).__name__
    outcomes = processes.gathered((done, reason))
    for _, why in outcomes:
        if why:
            raise _NotWrittenError(why)
    return [each for each, _ in outcomes]


def _make_anew(folder: Path) -> None:
    for left in folder.parent.glob(".*.part"):
        # A process that was killed while it wrote one, or removed one, left it.
        shutil.rmtree(left, ignore_errors=True)
    folder.mkdir(parents=True)


def _write_state(path: Path, state: Mapping[str, Any]) -> dict[str, Any]:
    """Write one process's state; return its length and checksum."""
    if not path.parent.is_dir():
        raise OSError(
            errno.ENOENT,
            f"{path.parent} of process 0 is not here: hosts must share the results folder",
        )
    with path.open("wb") as file:
        checked = _Checked(file)
        try:
            torch.save(dict(state), checked)  # type: ignore[arg-type]
        except RuntimeError as error:
            raise checked.failed or error from error
        _to_disk(file)
    return {"bytes": checked.length, "xxh3_128": checked.checksum}


def _put_in_place(
    beside: Path, path: Path, about: Mapping[str, Any], signatures: Sequence[dict[str, Any] | None]
) -> None:
    signed = {**about, "processes": signatures}
    if len(signatures) == 1:
        signed = {**about, **(signatures[0] or {})}
    with (beside / _ABOUT).open("wb") as file:
        file.write(json.dumps(signed, indent=2).encode())
        _to_disk(file)
    folder_to_disk(beside)
    beside.rename(path)
    folder_to_disk(path.parent)


def _signature_of(about: dict[str, Any]) -> dict[str, Any]:
    return {name: about.pop(name) for name in ("bytes", "xxh3_128")}


def _state_name() -> str:
    return "state.pt" if processes.count() == 1 else f"state-{processes.rank()}.pt"


def _numbers(folder: Path) -> list[int]:
    return [int(each.name) for each in folder.iterdir() if each.name.isdigit()] if folder.is_dir() else []


def _placed(storage: torch.UntypedStorage, place: str, device: torch.device | str) -> torch.UntypedStorage:
    return storage if place == "cpu" else storage.to(device=torch.device(device))


def _remove(path: Path) -> None:
    # Renamed first: a folder of which part is gone must not look like a checkpoint, or a run's checkpoints.
    gone = path.with_name(f".{path.name}.part")
    shutil.rmtree(gone, ignore_errors=True)
    path.rename(gone)
    shutil.rmtree(gone)


def _checksum(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
