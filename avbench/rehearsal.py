"""The rehearsal memory: a fixed number of clips in which every clip of the stream is equally likely to be.

Reservoir sampling (Vitter 1985, algorithm R), as the published comparison's buffer does it
(G-JWLee/STELLA_code, utils/buffer.py, after Buzzega et al.'s mammoth): a clip that the stream presents
again in a later epoch counts as a further element of the stream, and may be held more than once. Unlike
that buffer, which keeps float32 frames, clips are kept as uint8 and float16 patches.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from avbench import processes
from avbench.capacity import as_capacity, bytes_of
from avbench.clips import ClipBatch, ClipGeometry
from avbench.errors import InputError, RunError

# Positions name patches of a whole clip: 784 at the published geometry, so 16 bits hold them.
_POSITION_DTYPE = torch.int16
_EXTRA = "extra/"


class RehearsalMemory:
    """Holds clips of the stream, drawn by reservoir sampling, in host memory: a number of them, or of bytes.

    Video is stored as uint8 (float16 if it comes as floating point), audio as float16, positions of
    selected patches as int16, and every extra (stored features, scores) in the type it comes in.
    The tensors are allocated once, at the first `add`; a clip is written into its slot in place.

    A method only creates the memory; `attach` is called for it when training is set up.

    Args:
        capacity: clips, or bytes with a unit, such as "512MiB". Bytes are those of everything that is
            stored, and the memory has as many slots as fit. Of several processes each has its part of
            them, filled from its own part of the stream; together they are the capacity.

    Attributes:
        seen: clips offered so far.
    """

    def __init__(self, capacity: int | str) -> None:
        try:
            capacity = as_capacity(capacity)
        except ValueError as error:
            raise InputError(str(error)) from None
        budget = bytes_of(capacity)
        self._budget = None if budget is None else processes.part(budget)
        self._capacity = processes.part(capacity) if isinstance(capacity, int) else None
        whole = capacity if isinstance(capacity, int) else budget
        if whole is not None and whole < processes.count():
            raise InputError(
                f"a rehearsal memory of {capacity} cannot be divided among {processes.count()} processes: "
                "give each at least one clip"
            )
        self.seen = 0
        self._geometry: ClipGeometry | None = None
        self._slots: dict[str, Tensor] = {}
        self._generator: np.random.Generator | None = None
        self._device = torch.device("cpu")

    def attach(self, generator: np.random.Generator, device: torch.device | str = "cpu") -> None:
        """Draw from `generator` from now on, and return sampled clips on `device`."""
        self._generator = generator
        self._device = torch.device(device)

    @property
    def capacity(self) -> int:
        """Slots for clips. Raises RunError where they follow from bytes and no clip has come yet."""
        if self._capacity is None:
            raise RunError("how many clips fit into a number of bytes is known with the first clip")
        return self._capacity

    def __len__(self) -> int:
        return min(self.seen, self.capacity) if self.seen else 0

    def add(self, batch: ClipBatch, *, only: Tensor | None = None) -> None:
        """Offer every clip of `batch` to the reservoir, in order.

        Args:
            batch: the clips.
            only: (B,) bool, which of them to offer; the others are no part of the stream it samples from.

        The n-th clip offered since the start is taken if n <= capacity, and afterwards with probability
        capacity / n, in place of a clip drawn uniformly. Where two clips of the batch draw one slot, the
        later one stays, as if they had come one by one.

        Raises RunError where the clips differ in shape or extras from those held, and InputError where the
        memory's bytes do not hold a single clip.
        """
        generator = self._drawing()
        # Tensors without values, as when memory is measured without running, are taken for yes.
        if only is not None and not isinstance(only, FakeTensor):
            batch = batch[only.nonzero()[:, 0]]
            if not len(batch):
                return
        incoming = _parts(batch)
        if not self._slots:
            self._allocate(incoming, batch.geometry)
        self._check(incoming, batch.geometry)
        number = self.seen + np.arange(len(batch))
        drawn = np.where(number < self.capacity, number, generator.integers(0, number + 1))
        self.seen += len(batch)
        # A later clip of the batch overwrites an earlier one in the same slot.
        writer = {slot: clip for clip, slot in enumerate(drawn.tolist()) if slot < self.capacity}
        if not writer:
            return
        slots = torch.tensor(list(writer.keys()))
        clips = torch.tensor(list(writer.values()))
        for name, held in self._slots.items():
            value = incoming[name].detach()
            held[slots] = value[clips.to(value.device)].to(held)

    def sample(self, clips: int) -> ClipBatch:
        """Return `clips` distinct held clips drawn uniformly, or all of them where fewer are held.

        The result is a copy, on the device given to `attach`; editing it does not change the memory.
        Raises RunError on an empty memory: ask `if memory:` first.
        """
        return self.read(self.sample_slots(clips))

    def sample_slots(self, clips: int) -> Tensor:
        """Return the numbers (n,) of `clips` distinct slots drawn uniformly, or of all that are filled.

        For methods that write back what they read; `sample` is enough for all others.
        """
        generator = self._drawing()
        if not len(self):
            raise RunError("the rehearsal memory is empty: check `if memory:` before sampling from it")
        return torch.tensor(generator.choice(len(self), size=min(clips, len(self)), replace=False).tolist())

    def read(self, slots: Tensor) -> ClipBatch:
        """Return a copy of the clips in `slots`, on the device given to `attach`."""
        assert self._geometry is not None
        return _batch({name: held[slots] for name, held in self._slots.items()}, self._geometry).to(
            self._device
        )

    def write(self, slots: Tensor, clips: ClipBatch) -> None:
        """Put `clips` into `slots` in place of what they hold.

        Raises RunError where the clips differ in shape or extras from those held.
        """
        self._check(_parts(clips), clips.geometry)
        for name, value in _parts(clips).items():
            self._slots[name][slots] = value.detach().to(self._slots[name])

    @property
    def contents(self) -> dict[str, Tensor]:
        """The held clips' tensors by name, as views: nothing is copied."""
        return {name: held[: len(self)] for name, held in self._slots.items()}

    @property
    def nbytes(self) -> int:
        """Bytes of the clips held now, with everything stored beside them."""
        return sum(value.numel() * value.element_size() for value in self.contents.values())

    @property
    def capacity_nbytes(self) -> int:
        """Bytes of the allocated tensors: what the memory holds once it is full. 0 before the first clip."""
        return sum(held.numel() * held.element_size() for held in self._slots.values())

    def state_dict(self) -> dict[str, Any]:
        """Return what is held, as tensors and plain data. The tensors are views: save before going on."""
        geometry = None if self._geometry is None else asdict(self._geometry)
        return {
            "capacity": self._capacity,
            "budget": self._budget,
            "seen": self.seen,
            "geometry": geometry,
            "clips": self.contents,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Hold what `state` from `state_dict` held. Raises InputError where the capacities differ."""
        saved = _size(state["capacity"], state["budget"])
        own = _size(self._capacity, self._budget)
        if saved != own:
            raise InputError(
                f"the saved rehearsal memory has a capacity of {saved}, this one of {own}: go on with the "
                "configuration the run was started with"
            )
        self._capacity = state["capacity"]
        self.seen = state["seen"]
        self._slots = {}
        self._geometry = None
        if state["geometry"] is not None:
            self._allocate(state["clips"], ClipGeometry(**state["geometry"]))
            for name, value in state["clips"].items():
                self._slots[name][: len(self)] = value

    def _drawing(self) -> np.random.Generator:
        if self._generator is None:
            raise RunError("this rehearsal memory has no random generator yet: call its `attach` first")
        return self._generator

    def _allocate(self, clips: dict[str, Tensor], geometry: ClipGeometry) -> None:
        self._geometry = geometry
        if self._capacity is None:
            self._capacity = self._clips_within_budget(clips)
        self._slots = {
            name: torch.empty((self.capacity, *value.shape[1:]), dtype=_stored_dtype(name, value.dtype))
            for name, value in clips.items()
        }

    def _clips_within_budget(self, clips: dict[str, Tensor]) -> int:
        assert self._budget is not None
        one = sum(
            value[0].numel() * _stored_dtype(name, value.dtype).itemsize for name, value in clips.items()
        )
        if self._budget < one:
            raise InputError(
                f"a rehearsal memory of {self._budget} bytes does not hold one clip of {one} bytes: give more"
            )
        return self._budget // one

    def _check(self, clips: dict[str, Tensor], geometry: ClipGeometry) -> None:
        held = {name: (tuple(value.shape[1:]), value.dtype) for name, value in self._slots.items()}
        offered = {
            name: (tuple(value.shape[1:]), _stored_dtype(name, value.dtype)) for name, value in clips.items()
        }
        if geometry != self._geometry or offered != held:
            differing = sorted(name for name in held | offered if held.get(name) != offered.get(name))
            raise RunError(
                "clips offered to the rehearsal memory differ from those it holds in "
                f"{', '.join(differing) or 'geometry'}: "
                "every clip must be stored with the same parts and shapes"
            )


def _size(capacity: int | None, budget: int | None) -> str:
    """The size that was asked for, in words."""
    return f"{capacity} clips" if budget is None else f"{budget} bytes"


def _stored_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    if name in ("video_positions", "audio_positions"):
        return _POSITION_DTYPE
    if name in ("video", "audio") and dtype.is_floating_point:
        return torch.float16
    return dtype


def _parts(batch: ClipBatch) -> dict[str, Tensor]:
    """The batch's tensors by name."""
    parts = {"video": batch.video, "audio": batch.audio, "clip": batch.clip}
    if batch.video_positions is not None:
        parts["video_positions"] = batch.video_positions
    if batch.audio_positions is not None:
        parts["audio_positions"] = batch.audio_positions
    return parts | {_EXTRA + name: value for name, value in batch.extras.items()}


def _batch(parts: dict[str, Tensor], geometry: ClipGeometry) -> ClipBatch:
    """Undo `_parts`."""
    video_positions, audio_positions = parts.get("video_positions"), parts.get("audio_positions")
    return ClipBatch(
        video=parts["video"],
        audio=parts["audio"],
        clip=parts["clip"],
        geometry=geometry,
        video_positions=None if video_positions is None else video_positions.long(),
        audio_positions=None if audio_positions is None else audio_positions.long(),
        extras={name.removeprefix(_EXTRA): value for name, value in parts.items() if name.startswith(_EXTRA)},
    )
