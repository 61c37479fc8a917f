"""How each thing that a method may keep is described as plain data; see `avbench.resume.method_state`."""

from __future__ import annotations

import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from avbench import processes
from avbench.errors import RunError
from avbench.rehearsal import RehearsalMemory
from avbench.task_free import TaskFreeView

if TYPE_CHECKING:
    from avbench.training import ContinualPretraining

Node = dict[str, Any]
"""One value, described: its "kind", and what that kind needs to be rebuilt."""

DICTS: dict[str, type[Any]] = {
    "dict": dict, "OrderedDict": OrderedDict, "Counter": Counter, "defaultdict": defaultdict,
}  # fmt: skip
FACTORIES = {factory.__name__: factory for factory in (int, float, list, dict, set)}
"""What a defaultdict may make its values with, by name."""

# Exact types: a subclass may hold more, which a plain value would lose.
_PLAIN = (
    bool, int, float, complex, str, bytes, type(None), torch.Size, torch.dtype, torch.device,
)  # fmt: skip
# Things that a step does not change: the fresh method has the same.
_CONSTANT = (type, types.ModuleType, types.BuiltinFunctionType, PurePath, range, slice, np.dtype)
# Their subclasses may hold more than the walk sees.
_NOT_INSTANCES = (
    Tensor, np.ndarray, list, tuple, set, frozenset, dict, deque, torch.optim.Optimizer,
    types.FunctionType, types.MethodType,
)  # fmt: skip
# What torch keeps in a module beside parameters, buffers and submodules: empty unless hooks are set.
_MODULE_BOOKKEEPING = frozenset(nn.Module().__dict__) - {"training", "_parameters", "_buffers", "_modules"}
_MAY_BE_KEPT = (
    "keep numbers, texts, tensors, arrays, rehearsal memories, modules, or lists, tuples, sets, dicts, "
    "deques and dataclasses of them"
)


class Saving:
    """One walk that describes what a method keeps.

    Args:
        owner: the method's class.
        strategy: of the run, whose objects are named rather than stored.
    """

    def __init__(self, owner: type[Any], strategy: ContinualPretraining) -> None:
        self._owner = owner
        self._randomness = strategy.randomness
        run = run_objects(strategy)
        self._run = {id(found): name for name, found in run.items()}
        self._trained = {id(each) for group in strategy.optimizer.param_groups for each in group["params"]}
        # Where each object and each storage was met first.
        self._met: dict[int, str] = {}
        self._storages = {
            _storage(found): f"the run's {name}" for name, found in run.items() if isinstance(found, Tensor)
        }
        self._storages |= {_storage(found): "the optimiser's state" for found in _optimiser_tensors(strategy)}

    def node(self, path: str, found: Any) -> Node:
        """Describe one value and all below it. Raises RunError, with its path, where it cannot be saved."""
        node = self._of_no_identity(path, found)
        if node is None and id(found) in self._met:
            node = {"kind": "same as", "path": self._met[id(found)]}
        if node is None:
            self._met[id(found)] = path
            node = self._of_identity(path, found)
        return node

    def _of_identity(self, path: str, found: Any) -> Node:
        """Describe an object that may be met again at another path, and then is the same one."""
        if type(found) in (Tensor, nn.Parameter):
            node = self._tensor(path, found)
        elif isinstance(found, RehearsalMemory):
            node = self._memory(path, found)
        elif type(found) is np.ndarray and found.dtype != object:
            node = {"kind": "array", "array": torch.from_numpy(np.array(found))}
        elif type(found) is deque:
            node = {**self._sequence(path, found), "maxlen": found.maxlen}
        elif type(found) in (list, set, frozenset):
            node = self._sequence(path, found)
        elif type(found) in DICTS.values():
            node = self._dict(path, found)
        else:
            node = self._instance(path, found)
        return node

    def _of_no_identity(self, path: str, found: Any) -> Node | None:
        """Describe what is no one's own: plain values, things of the run, constants. None for others."""
        node: Node | None = None
        if id(found) in self._run:
            node = {"kind": "of the run", "name": self._run[id(found)]}
        elif isinstance(found, TaskFreeView):
            raise RunError(f"the method keeps part of its view of the run at {path!r}: read it when needed")
        elif type(found) in _PLAIN:
            node = {"kind": "plain", "value": found}
        elif isinstance(found, Enum):
            node = {"kind": "enum", **self._class_of(found), "member": found.name}
        elif isinstance(found, torch.Generator | np.random.Generator):
            node = {"kind": "generator", "name": self._generator_name(path, found)}
        elif isinstance(found, _CONSTANT) or _is_plain_function(found):
            node = {"kind": "constant", "text": constant_text(found)}
        elif isinstance(found, np.generic) and found.dtype != object:
            node = {"kind": "number", "array": torch.from_numpy(np.array(found))}
        elif type(found) is tuple:
            node = self._sequence(path, found)
        elif isinstance(found, tuple) and hasattr(found, "_fields"):
            parts = {name: self.node(f"{path}.{name}", getattr(found, name)) for name in found._fields}
            node = {"kind": "named tuple", **self._class_of(found), "parts": parts}
        return node

    def _sequence(self, path: str, found: Any) -> Node:
        items = [self.node(f"{path}[{number}]", value) for number, value in enumerate(found)]
        return {"kind": type(found).__name__, "items": items}

    def _dict(self, path: str, found: Any) -> Node:
        node: Node = {"kind": type(found).__name__}
        if type(found) is defaultdict:
            factory = found.default_factory
            if factory is not None and factory not in FACTORIES.values():
                raise RunError(f"the defaultdict at {path!r} makes its values with {factory}: use a dict")
            node["factory"] = None if factory is None else factory.__name__
        # By number: keys may be tensors, whose text is long.
        node["items"] = [
            (self.node(f"{path}[key {number}]", key), self.node(_entry(path, key, number), value))
            for number, (key, value) in enumerate(found.items())
        ]
        return node

    def _tensor(self, path: str, found: Tensor) -> Node:
        if found.grad_fn is not None:
            raise RunError(f"the tensor at {path!r} holds the graph of a step: detach it before keeping it")
        if found.grad is not None and id(found) not in self._trained:
            raise RunError(
                f"the tensor at {path!r} keeps a gradient that no optimiser clears: set its grad to None"
            )
        self._own_storage(path, found)
        return {
            "kind": "tensor",
            "tensor": found.detach(),
            "host": found.device.type == "cpu",
            "parameter": isinstance(found, nn.Parameter),
            "gradient": found.requires_grad,
        }

    def _own_storage(self, path: str, found: Tensor) -> None:
        other = self._storages.setdefault(_storage(found), path)
        if other != path:
            raise RunError(
                f"the tensor at {path!r} shares its storage with {other}, which would come back as two: keep "
                "that object itself, or a clone"
            )

    def _memory(self, path: str, found: RehearsalMemory) -> Node:
        extra = found.__dict__.keys() - RehearsalMemory(processes.count()).__dict__.keys()
        if extra and type(found).state_dict is RehearsalMemory.state_dict:
            raise RunError(
                f"the {type(found).__name__} at {path!r} keeps {', '.join(sorted(extra))} beside its clips, "
                "which its state_dict leaves out: store it with the clips, as extras, or extend state_dict"
            )
        for name, tensor in found.contents.items():
            self._own_storage(f"{path}.{name}", tensor)
        return {"kind": "memory", "memory": found.state_dict()}

    def _instance(self, path: str, found: Any) -> Node:
        # Py_TPFLAGS_HEAPTYPE: classes written in Python have no fields that Python cannot see.
        in_python = type(found).__flags__ & (1 << 9)
        values = attributes_of(found)
        if isinstance(found, _NOT_INSTANCES) or not in_python or values is None:
            raise RunError(
                f"the method keeps a {type(found).__module__}.{type(found).__qualname__} at {path!r}, which "
                f"cannot be saved: {_MAY_BE_KEPT}"
            )
        if isinstance(found, nn.Module):
            hooks = sorted(name for name in _MODULE_BOOKKEEPING if "hooks" in name and values[name])
            if hooks:
                raise RunError(f"the module at {path!r} has hooks ({', '.join(hooks)}): remove them")
            values = {name: value for name, value in values.items() if name not in _MODULE_BOOKKEEPING}
        return {
            "kind": "module" if isinstance(found, nn.Module) else "object",
            **self._class_of(found),
            "parts": {name: self.node(f"{path}.{name}", value) for name, value in values.items()},
        }

    def _class_of(self, found: object) -> Node:
        # A plugin file's module is called by where the file lies; "" stands for it wherever that is.
        module = type(found).__module__
        return {
            "module": "" if module == self._owner.__module__ else module,
            "class": type(found).__qualname__,
        }

    def _generator_name(self, path: str, found: object) -> str:
        for library in ("torch", "numpy"):
            generators: dict[str, object] = getattr(self._randomness, f"_{library}")
            for name, generator in generators.items():
                if generator is found:
                    return f"{library}:{name}"
        raise RunError(
            f"the method draws from a generator of its own at {path!r}: take it from self.generator(name), "
            "so that the run keeps it"
        )


def run_objects(strategy: ContinualPretraining) -> dict[str, object]:
    """Return the objects of the run that a method may hold on to, by name."""
    found: dict[str, object] = {
        "strategy": strategy,
        "optimizer": strategy.optimizer,
        "settings": strategy.settings,
        "randomness": strategy.randomness,
    }
    for plugin in strategy.plugins:
        if hasattr(plugin, "view"):
            found["view"] = plugin.view
    for number, group in enumerate(strategy.optimizer.param_groups):
        found[f"optimizer.param_groups[{number}]"] = group
    modules: dict[str, nn.Module] = {"model": strategy.model}
    if strategy.method.uses_matching:
        modules["matching"] = strategy.matching
    for owner, module in modules.items():
        for name, part in module.named_modules():
            found[f"{owner}.{name}" if name else owner] = part
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            found[f"{owner}.{name}"] = tensor
    return found


def attributes_of(found: object) -> dict[str, Any] | None:
    """Return the attributes of an instance, in a dict or in slots; None where it has neither."""
    names: list[str] = []
    for cls in type(found).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    names = [name for name in names if name not in ("__dict__", "__weakref__") and hasattr(found, name)]
    if not names and not hasattr(found, "__dict__"):
        return None
    return {**getattr(found, "__dict__", {}), **{name: getattr(found, name) for name in names}}


def constant_text(found: Any) -> str:
    """Return what a constant, such as a function or a path, is recognised by."""
    if isinstance(found, types.ModuleType):
        return found.__name__
    name = getattr(found, "__qualname__", None)
    return repr(found) if name is None else f"{type(found).__name__} {name}"


def _entry(path: str, key: object, number: int) -> str:
    return f"{path}[{key!r}]" if isinstance(key, str | int) else f"{path}[entry {number}]"


def _optimiser_tensors(strategy: ContinualPretraining) -> Iterator[Tensor]:
    for state in strategy.optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, Tensor))


def _is_plain_function(found: object) -> bool:
    """Whether `found` is a function that closes over nothing."""
    return isinstance(found, types.FunctionType) and not (
        found.__closure__ or found.__defaults__ or found.__kwdefaults__
    )


def _storage(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address
