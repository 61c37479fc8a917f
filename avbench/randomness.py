"""The one owner of randomness: named generators, all derived from a run's seed.

Nothing in avbench draws from a global generator. Every use has a name ("masking", "reservoir",
"shuffle"), so adding a draw in one place changes no other place. Generators live on the CPU, on every
device: a GPU run draws the same masks as a CPU run. Of several processes that make one run, all draw the same
start, the same order of clips, and what was declared `common`; whatever else they draw, each draws its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from avbench.errors import RunError

# What all processes of a run must draw alike: names, or how they begin.
_COMMON = ("shuffle", "start/")


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed that depends on `seed` and on each name, and on nothing else."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


class Randomness:
    """Named random generators of one run.

    `torch(name)` and `numpy(name)` return the same generator object at every call with that name, so
    its stream continues; `state_dict` captures all of them, as plain data.

    Args:
        seed: of the run.
        process: which of the processes that make the run together; each has its own numbers from all
            generators but those that shuffle clips, make the start, or are `common`.
    """

    def __init__(self, seed: int, *, process: int = 0) -> None:
        self.seed = seed
        self.process = process
        self._torch: dict[str, torch.Generator] = {}
        self._numpy: dict[str, np.random.Generator] = {}
        self._common: set[str] = set()
        # Names of generators made from a seed of this process alone.
        self._own: set[str] = set()

    def common(self, name: str) -> None:
        """Declare that the generators called `name` give the same numbers in all processes of a run.

        All must then draw equally often from them. One that was loaded goes on from where it was.

        Raises:
            RunError: it was made before, from a seed that differs between processes.
        """
        if name in self._own:
            raise RunError(
                f"the random generator {name!r} was used before it was declared common to all processes"
            )
        self._common.add(name)

    def torch(self, name: str) -> torch.Generator:
        """Return the CPU torch generator called `name`, made from the seed at its first use."""
        if name not in self._torch:
            self._torch[name] = torch.Generator().manual_seed(self._seed("torch", name))
        return self._torch[name]

    def numpy(self, name: str) -> np.random.Generator:
        """Return the NumPy generator called `name`, made from the seed at its first use."""
        if name not in self._numpy:
            self._numpy[name] = np.random.Generator(np.random.PCG64(self._seed("numpy", name)))
        return self._numpy[name]

    def _seed(self, kind: str, name: str) -> int:
        if name not in self._common and not name.startswith(_COMMON):
            self._own.add(name)
        own = (f"process {self.process}",) if self.process and name in self._own else ()
        return derive_seed(self.seed, kind, name, *own)

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all generators used so far: tensors and plain data only."""
        return {
            "seed": self.seed,
            "torch": {name: generator.get_state() for name, generator in self._torch.items()},
            "numpy": {name: generator.bit_generator.state for name, generator in self._numpy.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`, as `state_dict` returned it."""
        self.seed = state["seed"]
        # In place: loaders and memories hold on to their generators. One that the state does not know was
        # not used yet, and starts over.
        for name in self._torch.keys() | state["torch"].keys():
            fresh = self._seed("torch", name)
            generator = self.torch(name).manual_seed(fresh)
            if name in state["torch"]:
                generator.set_state(state["torch"][name])
        for name in self._numpy.keys() | state["numpy"].keys():
            fresh_bits = np.random.PCG64(self._seed("numpy", name)).state
            self.numpy(name).bit_generator.state = state["numpy"].get(name, fresh_bits)
        self._own -= state["torch"].keys() | state["numpy"].keys()

    @contextmanager
    def undisturbed(self, *names: str) -> Iterator[None]:
        """Give back the torch generators called `names` as they were before the `with` block.

        For passes that are no part of training, such as one over a task's clips that measures something:
        they must not change the order in which later clips come.
        """
        before = {name: self.torch(name).get_state() for name in names}
        try:
            yield
        finally:
            for name, state in before.items():
                self.torch(name).set_state(state)

    @contextmanager
    def rewound(self) -> Iterator[None]:
        """Give back all generators, NumPy's too, as they were before the `with` block.

        For looking at what a method would do next: what it draws there is drawn again in training.
        """
        before, own = self.state_dict(), set(self._own)
        try:
            yield
        finally:
            for made, known in ((self._torch, before["torch"]), (self._numpy, before["numpy"])):
                for name in made.keys() - known.keys():
                    del made[name]
            self.load_state_dict(before)
            self._own = own
