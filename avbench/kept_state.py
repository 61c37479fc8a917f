"""What a method keeps between steps, found by walking its attributes so that nothing can be left out.

The memory account counts it. A method declares nothing: tensors, modules, memories, optimisers and
containers of them are found wherever they hang.
"""

from __future__ import annotations

import functools
import types
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from avbench.clips import ClipGeometry
from avbench.errors import RunError
from avbench.randomness import Randomness
from avbench.rehearsal import RehearsalMemory

Kind = Literal["rehearsal memory", "other state"]

# Things that hold no clips, features or weights. Generators are the run's, not the method's.
_PLAIN = (
    str, bytes, int, float, complex, bool, type(None), type, Enum, range, slice, PurePath,
    torch.dtype, torch.device, torch.Size, torch.Generator, np.random.Generator, np.generic, np.dtype,
    Randomness, ClipGeometry, types.ModuleType, types.BuiltinFunctionType,
    weakref.ReferenceType,
)  # fmt: skip


class KeptTensor(NamedTuple):
    """One tensor a method keeps: where it hangs, the tensor, what it is, and its bytes.

    For a rehearsal memory the tensor is the part that is filled; for other state `nbytes` is the whole
    storage that the tensor keeps alive, which is more than the tensor where it is a view.
    """

    path: str
    tensor: Tensor
    kind: Kind
    nbytes: int


def kept_tensors(method: object, *, not_counting: Iterable[Tensor] = ()) -> Iterator[KeptTensor]:
    """Yield every tensor that `method` keeps, each storage once, in the order of its attributes.

    `not_counting` are tensors that belong to someone else, such as the backbone's parameters.
    Raises RunError, naming the path, at an object that cannot be looked into.
    """
    seen = {_storage(tensor) for tensor in not_counting}
    for path, found in _walk(method):
        if isinstance(found, RehearsalMemory):
            for name, tensor in found.contents.items():
                if _first_time(tensor, seen):
                    yield KeptTensor(
                        f"{path}.{name}", tensor, "rehearsal memory", tensor.numel() * tensor.element_size()
                    )
        elif _first_time(found, seen):
            yield KeptTensor(path, found, "other state", found.untyped_storage().nbytes())


def rehearsal_memories(method: object) -> Iterator[tuple[str, RehearsalMemory]]:
    """Yield every rehearsal memory that `method` keeps, with the path where it hangs."""
    for path, found in _walk(method):
        if isinstance(found, RehearsalMemory):
            yield path, found


def _storage(tensor: Tensor) -> int:
    # The address of the storage itself, not of its data: fake and empty storages have no data.
    address: int = tensor.untyped_storage()._cdata
    return address


def _first_time(tensor: Tensor, seen: set[int]) -> bool:
    storage = _storage(tensor)
    if storage in seen:
        return False
    seen.add(storage)
    return True


def _walk(root: object) -> Iterator[tuple[str, Tensor | RehearsalMemory]]:
    """Yield tensors and memories below `root`, depth first; every object is looked into once."""
    visited: set[int] = set()
    # Pairs of path and object. NumPy arrays become tensors on the way; `alive` holds on to what is made
    # on the way, as Python may give a freed object's id to the next one.
    alive: list[object] = []
    waiting: list[tuple[str, object]] = [("", root)]
    while waiting:
        path, found = waiting.pop()
        if isinstance(found, _PLAIN) or id(found) in visited:
            continue
        visited.add(id(found))
        alive.append(found)
        if isinstance(found, Tensor | RehearsalMemory):
            yield path, found
            if isinstance(found, Tensor) and found.grad is not None:
                waiting.append((f"{path}.grad", found.grad))
        elif isinstance(found, np.ndarray) and found.dtype != object:
            yield path, torch.from_numpy(found)
        else:
            waiting.extend(reversed(list(_children(path, found))))


def _children(path: str, found: object) -> Iterator[tuple[str, object]]:
    if isinstance(found, Mapping):
        for key, value in found.items():
            yield _joined(path, str(key)), value
            yield _joined(path, f"{key} (key)"), key
    elif isinstance(found, list | tuple | set | frozenset | deque):
        for number, value in enumerate(found):
            yield f"{path}[{number}]", value
    elif isinstance(found, functools.partial):
        yield from ((_joined(path, part), getattr(found, part)) for part in ("func", "args", "keywords"))
    elif isinstance(found, types.MethodType):
        yield path, found.__self__
    elif isinstance(found, types.FunctionType):
        # A function may hold tensors in the variables it closes over.
        for name, cell in zip(found.__code__.co_freevars, found.__closure__ or (), strict=True):
            yield _joined(path, name), cell.cell_contents
        yield _joined(path, "defaults"), [found.__defaults__, found.__kwdefaults__]
    else:
        yield from _attributes(path, found)


def _attributes(path: str, found: object) -> Iterator[tuple[str, object]]:
    """The attributes of an instance, in a dict or in slots; for modules without the grouping dicts' names."""
    values: dict[str, Any] = dict(getattr(found, "__dict__", {}))
    for owner in type(found).__mro__:
        slots = owner.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(found, name):
                values[name] = getattr(found, name)
    if not values and not hasattr(found, "__dict__"):
        raise RunError(
            f"the method keeps a {type(found).__module__}.{type(found).__qualname__} at {path!r}, which the "
            "account of its memory cannot look into: keep tensors, arrays, modules, memories, or lists, "
            "dicts and dataclasses of them"
        )
    for name, value in values.items():
        inside_module = isinstance(found, nn.Module) and name in ("_parameters", "_buffers", "_modules")
        if inside_module and isinstance(value, dict):
            yield from ((_joined(path, key), part) for key, part in value.items())
        else:
            yield _joined(path, name), value


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
