"""The processes that make one run together, over several devices or hosts: what they share out and exchange.

`torchrun` starts them and tells each its rank in the environment (RANK, WORLD_SIZE, LOCAL_RANK). Numbers,
flags and objects travel over gloo, tensors of a GPU over NCCL. With one process everything here is the
identity, so that the rest of avbench does not tell the two cases apart.

There is no DistributedDataParallel around the model: methods run the bare module with other weights, take
gradients of their own and add to those of a step, none of which a wrapper sees. Instead the gradients that
are there before the optimiser's step are summed (`sum_gradients`). Parameters that begin alike then stay
alike, to the bit.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, distributed

from avbench.errors import InputError, RunError

Item = TypeVar("Item")

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others; torchrun ends all when one fails, long before."""


class StandIn(Protocol):
    """What stands for the processes of a run, in a thread that is taken for one: see `avbench.testing`."""

    @property
    def rank(self) -> int:
        """This thread's number among them, from 0."""

    @property
    def count(self) -> int:
        """How many there are."""

    def gathered(self, value: Item) -> list[Item]:
        """Return every thread's value, in order of rank."""


class _OfThread(threading.local):
    """Of this thread: how many `alone` blocks it is in, and what stands for the other processes."""

    alone = 0
    stand_in: StandIn | None = None


_of_thread = _OfThread()


def count() -> int:
    """Return how many processes make the run; 1 within `alone`."""
    if _of_thread.alone:
        return 1
    if _of_thread.stand_in is not None:
        return _of_thread.stand_in.count
    return distributed.get_world_size() if _joined() else 1


def rank() -> int:
    """Return this process's number among them, from 0."""
    if _of_thread.alone:
        return 0
    if _of_thread.stand_in is not None:
        return _of_thread.stand_in.rank
    return distributed.get_rank() if _joined() else 0


def local_rank() -> int:
    """Return this process's number among those of its host, which is that of its device.

    Raises:
        InputError: the environment does not tell.
    """
    if count() == 1:
        return 0
    return _number("LOCAL_RANK")


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes for the length of a `with` block, where torchrun started several.

    Raises:
        InputError: the environment is not what torchrun makes it.
        RunError: the others are not there.
    """
    if "RANK" not in os.environ or _number("WORLD_SIZE") == 1:
        yield
        return
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        if _number("LOCAL_RANK") < torch.cuda.device_count():
            torch.cuda.set_device(_number("LOCAL_RANK"))
    try:
        distributed.init_process_group(backend, timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise RunError(f"process {os.environ['RANK']} does not reach the others: {error}") from error
    try:
        yield
    finally:
        distributed.destroy_process_group()


@contextmanager
def alone() -> Iterator[None]:
    """Let this process work for itself within a `with` block: as if it were the only one."""
    _of_thread.alone += 1
    try:
        yield
    finally:
        _of_thread.alone -= 1


@contextmanager
def standing_in(others: StandIn) -> Iterator[None]:
    """Take this thread for one of the processes of a run within a `with` block."""
    _of_thread.stand_in = others
    try:
        yield
    finally:
        _of_thread.stand_in = None


def share(items: Sequence[Item]) -> Sequence[Item]:
    """Return what of `items` falls to this process when they are dealt out like cards."""
    return items[rank() :: count()]


def part(number: int) -> int:
    """Return this process's part of so many things that cannot be cut: the first have those that are over."""
    return len(range(rank(), number, count()))


def total(number: int) -> int:
    """Return the sum of every process's number."""
    if count() == 1:
        return number
    if _of_thread.stand_in is not None:
        return sum(_of_thread.stand_in.gathered(number))
    summed = torch.tensor(number, dtype=torch.int64)
    with _together():
        distributed.all_reduce(summed)
    return int(summed)


def anywhere(flag: bool) -> bool:
    """Return whether `flag` is true in any process."""
    return total(int(flag)) > 0


def gathered(value: Item) -> list[Item]:
    """Return every process's value, in order of rank: plain data or arrays."""
    if count() == 1:
        return [value]
    if _of_thread.stand_in is not None:
        return _of_thread.stand_in.gathered(value)
    values: list[Any] = [None] * count()
    with _together():
        distributed.all_gather_object(values, value)
    return values


def of_first(value: Item) -> Item:
    """Return what the first process gives here: plain data. Others' values are not looked at."""
    if count() == 1:
        return value
    if _of_thread.stand_in is not None:
        return _of_thread.stand_in.gathered(value)[0]
    values: list[Any] = [value]
    with _together():
        distributed.broadcast_object_list(values, src=0)
    agreed: Item = values[0]
    return agreed


def summed(tensor: Tensor) -> Tensor:
    """Return the sum of every process's tensor, which are of one shape; without gradient."""
    if count() == 1:
        return tensor
    if _of_thread.stand_in is not None:
        return torch.stack(_of_thread.stand_in.gathered(tensor.detach())).sum(dim=0).to(tensor.dtype)
    result = tensor.detach().clone(memory_format=torch.contiguous_format)
    with _together():
        distributed.all_reduce(result)
    return result


def summed_each(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the sums of every process's tensors, in one exchange; without gradient, and as views of one.

    Args:
        tensors: of the same shapes in all processes, of one type and device.
    """
    if count() == 1:
        return list(tensors)
    flat = summed(torch.cat([each.detach().reshape(-1) for each in tensors]))
    parts = torch.split(flat, [each.numel() for each in tensors])
    return [part.view_as(each) for part, each in zip(parts, tensors, strict=True)]


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Make each parameter's gradient the sum of every process's. One without a gradient anywhere gets none.

    Args:
        parameters: the same in all processes, and in the same order; of one floating type and device.
    """
    if count() == 1:
        return
    trained = list(parameters)
    there = [float(value.grad is not None) for value in trained]
    flat = torch.cat(
        [
            *((value if value.grad is None else value.grad).detach().reshape(-1) for value in trained),
            torch.tensor(there, dtype=trained[0].dtype, device=trained[0].device),
        ]
    )
    place = 0
    for value in trained:
        if value.grad is None:
            flat[place : place + value.numel()] = 0
        place += value.numel()
    flat = summed(flat)
    anyone = flat[place:].tolist()
    place = 0
    for value, holders in zip(trained, anyone, strict=True):
        if holders:
            value.grad = flat[place : place + value.numel()].view_as(value).clone()
        place += value.numel()


def gather_rows(rows: Tensor) -> tuple[Tensor, int]:
    """Return the rows of all processes' tensors, in order of rank, and the place where this one's begin.

    The gradient reaches every process: what each asks of a row is summed where the row came from. Where all
    take the gradient of their part of a sum, it is that of the sum. All must call it, and go back through it,
    equally often and in the same order; a process may bring no rows.

    Args:
        rows: (n, ...); n may differ between processes, the rest not.
    """
    if count() == 1:
        return rows, 0
    lengths = gathered(len(rows))
    everyone: Tensor = _GatherWithGradient.apply(rows, lengths)
    return everyone, sum(lengths[: rank()])


class _GatherWithGradient(torch.autograd.Function):
    """All processes' rows, in order of rank; backward, the sum of what all processes want of ours."""

    @staticmethod
    def forward(context: Any, rows: Tensor, lengths: list[int]) -> Tensor:
        context.first, context.own = sum(lengths[: rank()]), len(rows)
        if _of_thread.stand_in is not None:
            return torch.cat(_of_thread.stand_in.gathered(rows.detach()))
        # Collectives want tensors of one shape.
        padded = rows.new_zeros(max(lengths), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in lengths]
        with _together():
            distributed.all_gather(parts, padded)
        return torch.cat([each[:length] for each, length in zip(parts, lengths, strict=True)])

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return summed(gradient)[context.first : context.first + context.own], None


def _joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()


@contextmanager
def _together() -> Iterator[None]:
    """Say what it means where an exchange fails."""
    try:
        yield
    except RuntimeError as error:
        # What follows the first sentence is advice about torch.
        reason = str(error).split(". ")[0]
        raise RunError(
            f"process {rank()} of {count()} lost the others ({reason}): see what they say; "
            "the same command goes on from the last checkpoint"
        ) from error


def _number(name: str) -> int:
    value = os.environ.get(name, "")
    if not value.isdigit():
        raise InputError(
            f"{name} is {value!r} in the environment, which has RANK: start processes with torchrun "
            "--nproc-per-node NUMBER -m avbench run ..., or unset RANK"
        )
    return int(value)
