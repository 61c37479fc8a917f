"""Which device a run computes on, and that it computes the same there every time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from avbench import processes
from avbench.errors import InputError


def available_device(name: str) -> str:
    """Return `name` as a device of this machine; "auto" is the first GPU if there is one, else the CPU.

    Of several processes that make a run each has a GPU of its own: for "auto" and "cuda" that of its number.

    Raises:
        InputError: it is no device, or not there, or one GPU is named for several processes.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device: {name!r} is no device (valid: auto, cpu, cuda, cuda:1, ...)") from None
    if device.type == "cpu":
        return "cpu"
    if device.type != "cuda":
        raise InputError(f"device: {name!r} is not supported (valid: auto, cpu, cuda, cuda:1, ...)")
    there = torch.cuda.device_count()
    if device.index is not None and processes.count() > 1:
        raise InputError(f"device: {name!r} is one device for {processes.count()} processes: say cuda")
    index = processes.local_rank() if device.index is None else device.index
    if index >= there:
        raise InputError(f"device: cuda:{index} is not there: this machine has {there} CUDA device(s)")
    return f"cuda:{index}"


def cores() -> int:
    """Return the number of CPU cores this process may use.

    Raises:
        InputError: the system does not tell.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    count = os.cpu_count()
    if count is None:
        raise InputError("the number of cores is not known here: give --workers")
    return count


def gpus() -> list[str]:
    """Return the GPUs this process may use, each as CUDA_VISIBLE_DEVICES names it."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = torch.cuda.device_count()
    # What does not name a device ends the list: CUDA sees what is before it.
    return [str(number) for number in range(there)] if named is None else named.split(",")[:there]


def default_threads() -> int:
    """Return the threads that torch computes with unless told: OMP_NUM_THREADS, or the cores, at most 4."""
    return torch.get_num_threads() if "OMP_NUM_THREADS" in os.environ else min(4, cores())


@contextmanager
def compute_exactly() -> Iterator[None]:
    """Let torch use only algorithms that give the same bits every time, within a `with` block.

    An operation that has none on the device is an error there, not a result that cannot be repeated.
    """
    # Read when CUDA starts, so that it must be set before; a value that the user chose stays.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    memory: Any = torch.utils.deterministic
    deterministic = torch.are_deterministic_algorithms_enabled()
    filling = memory.fill_uninitialized_memory
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        memory.fill_uninitialized_memory = filling
        torch.backends.cudnn.benchmark = benchmark
