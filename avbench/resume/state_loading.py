"""How what `avbench.resume.state_saving` described is rebuilt in a fresh method; see `method_state` there."""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from avbench.backbone.model import CAVMAE
from avbench.errors import RunError
from avbench.matching import AudioVideoMatching
from avbench.model_copies import frozen_copy
from avbench.rehearsal import RehearsalMemory
from avbench.resume.state_saving import DICTS, FACTORIES, Node, attributes_of, constant_text, run_objects

if TYPE_CHECKING:
    from avbench.training import ContinualPretraining

_SEQUENCES: dict[str, Callable[[Iterator[Any]], Any]] = {
    "tuple": tuple, "set": set, "frozenset": frozenset,
}  # fmt: skip


class Loading:
    """One walk that rebuilds what a method kept.

    Args:
        owner: the method's class.
        strategy: of the new run, to which the fresh method is attached.
    """

    def __init__(self, owner: type[Any], strategy: ContinualPretraining) -> None:
        self._owner = owner
        self._strategy = strategy
        self._run = run_objects(strategy)
        # What was rebuilt, by its path: a second place of one object gets the same one.
        self._built: dict[str, Any] = {}
        self._rebuild: dict[str, Callable[[str, Node, Any], Any]] = {
            "plain": lambda path, node, fresh: node["value"],
            "number": lambda path, node, fresh: node["array"].numpy()[()],
            "array": lambda path, node, fresh: self._keep(path, node["array"].numpy().copy()),
            "same as": lambda path, node, fresh: self._built[node["path"]],
            "enum": lambda path, node, fresh: self._class(path, node, fresh)[node["member"]],
            "of the run": self._of_the_run,
            "generator": self._generator,
            "constant": self._constant,
            "named tuple": self._named_tuple,
            "tensor": self._tensor,
            "memory": self._memory,
            "list": self._list,
            "deque": self._list,
            **dict.fromkeys(_SEQUENCES, self._sequence),
            **dict.fromkeys(DICTS, self._dict),
            "object": self._instance,
            "module": self._instance,
        }

    def value(self, path: str, node: Node, fresh: Any) -> Any:
        """Rebuild one value; `fresh` is what the fresh method has in its place, None where it has nothing."""
        return self._rebuild[node["kind"]](path, node, fresh)

    def _keep(self, path: str, built: Any) -> Any:
        self._built[path] = built
        return built

    def _of_the_run(self, path: str, node: Node, fresh: Any) -> object:
        if node["name"] not in self._run:
            raise RunError(f"the saved method held the run's {node['name']} at {path!r}: this run has none")
        return self._run[node["name"]]

    def _generator(self, path: str, node: Node, fresh: Any) -> object:
        library, _, name = node["name"].partition(":")
        return getattr(self._strategy.randomness, library)(name)

    def _constant(self, path: str, node: Node, fresh: Any) -> Any:
        if fresh is None or constant_text(fresh) != node["text"]:
            raise RunError(
                f"the saved method had {node['text']} at {path!r}, the fresh one has "
                f"{'nothing' if fresh is None else constant_text(fresh)}: set it in __init__, and keep what "
                "changes in numbers, texts or tensors"
            )
        return fresh

    def _named_tuple(self, path: str, node: Node, fresh: Any) -> Any:
        parts = {
            name: self.value(f"{path}.{name}", part, getattr(fresh, name, None))
            for name, part in node["parts"].items()
        }
        return self._class(path, node, fresh)(**parts)

    def _tensor(self, path: str, node: Node, fresh: Any) -> Tensor:
        saved: Tensor = node["tensor"]
        alike = isinstance(fresh, Tensor) and (fresh.shape, fresh.dtype) == (saved.shape, saved.dtype)
        if alike and fresh.is_leaf and (node["parameter"] or fresh.requires_grad):
            # In place: the optimiser may train it.
            with torch.no_grad():
                fresh.copy_(saved)
            tensor: Tensor = fresh.requires_grad_(node["gradient"])
        else:
            tensor = saved.detach().to("cpu" if node["host"] else self._strategy.device, copy=True)
            if node["parameter"]:
                tensor = nn.Parameter(tensor, requires_grad=node["gradient"])
            tensor.requires_grad_(node["gradient"])
        self._built[path] = tensor
        return tensor

    def _memory(self, path: str, node: Node, fresh: Any) -> RehearsalMemory:
        if not isinstance(fresh, RehearsalMemory):
            raise RunError(
                f"the saved method had a rehearsal memory at {path!r}, the fresh one has none: make it in "
                "__init__"
            )
        fresh.load_state_dict(node["memory"])
        self._built[path] = fresh
        return fresh

    def _items(self, path: str, node: Node, fresh: Any) -> Iterator[Any]:
        there = list(fresh) if isinstance(fresh, list | tuple | deque) else []
        for number, item in enumerate(node["items"]):
            yield self.value(f"{path}[{number}]", item, there[number] if number < len(there) else None)

    def _list(self, path: str, node: Node, fresh: Any) -> Any:
        items: Any = [] if node["kind"] == "list" else deque(maxlen=node["maxlen"])
        # Known before it is filled: it may hold itself.
        self._built[path] = items
        items.extend(self._items(path, node, fresh))
        return items

    def _sequence(self, path: str, node: Node, fresh: Any) -> Any:
        return self._keep(path, _SEQUENCES[node["kind"]](self._items(path, node, fresh)))

    def _dict(self, path: str, node: Node, fresh: Any) -> Any:
        kind = DICTS[node["kind"]]
        made = defaultdict(FACTORIES.get(node["factory"])) if kind is defaultdict else kind()
        self._built[path] = made
        there = fresh if isinstance(fresh, dict) else {}
        for number, (key_node, value_node) in enumerate(node["items"]):
            key = self.value(f"{path}[key {number}]", key_node, None)
            place = f"{path}[{key!r}]" if isinstance(key, str | int) else f"{path}[entry {number}]"
            made[key] = self.value(place, value_node, there.get(key))
        return made

    def _instance(self, path: str, node: Node, fresh: Any) -> Any:
        cls = self._class(path, node, fresh)
        if node["kind"] == "module":
            built = there = self._module(path, cls, fresh)
        else:
            # Made anew, for it may be one that others hold too, such as a constant of the method's module.
            built, there = cls.__new__(cls), fresh
        self._built[path] = built
        parts = (attributes_of(there) or {}) if type(there) is cls else {}
        for name, part in node["parts"].items():
            value = self.value(f"{path}.{name}", part, parts.get(name))
            # Not setattr: dataclasses may be frozen, and modules register what they are given.
            object.__setattr__(built, name, value)
        return built

    def _module(self, path: str, cls: type[Any], fresh: Any) -> nn.Module:
        if type(fresh) is cls:
            made: nn.Module = fresh
        elif cls is CAVMAE:
            made = frozen_copy(self._strategy.model)
        elif cls is AudioVideoMatching and self._strategy.method.uses_matching:
            made = copy.deepcopy(self._strategy.matching).requires_grad_(False)
        else:
            raise RunError(
                f"the saved method had a {cls.__qualname__} at {path!r}, the fresh one has none: make it in "
                "__init__ or attach"
            )
        return made

    def _class(self, path: str, node: Node, fresh: Any) -> Any:
        """The class of a saved object: that of the fresh one, or one that is imported already."""
        module = node["module"] or self._owner.__module__
        if (type(fresh).__module__, type(fresh).__qualname__) == (module, node["class"]):
            return type(fresh)
        found: Any = sys.modules.get(module)
        for part in node["class"].split("."):
            found = getattr(found, part, None)
        # Nothing but data is made of a name in a file.
        if not isinstance(found, type) or not (
            dataclasses.is_dataclass(found) or issubclass(found, nn.Module | Enum | tuple)
        ):
            raise RunError(
                f"the saved method had a {node['class']} at {path!r}, the fresh one has none: make it in "
                "__init__ or attach, or let it be a dataclass of the method's own module"
            )
        return found
