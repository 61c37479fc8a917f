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

from avbench.clips import ClipBatch, ClipGeometry
from avbench.errors import InputError, RunError

# Positions name patches of a whole clip: 784 at the published geometry, so 16 bits hold them.
_POSITION_DTYPE = torch.int16
_EXTRA = "extra/"


class RehearsalMemory:
    """Holds up to `capacity` clips in host memory, drawn from the stream by reservoir sampling.

    Video is stored as uint8 (float16 if it comes as floating point), audio as float16, positions of
    selected patches as int16, and every extra (stored features, scores) in the type it comes in.
    The tensors are allocated once, at the first `add`; a clip is written into its slot in place.

    A method only creates the memory; `attach` is called for it when training is set up.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise InputError(
                f"a rehearsal memory of {capacity} clips holds nothing: give a capacity of 1 or more"
            )
        self.capacity = capacity
        self.seen = 0
        self._geometry: ClipGeometry | None = None
        self._slots: dict[str, Tensor] = {}
        self._generator: np.random.Generator | None = None
        self._device = torch.device("cpu")

    def attach(self, generator: np.random.Generator, device: torch.device | str = "cpu") -> None:
        """Draw from `generator` from now on, and return sampled clips on `device`."""
        self._generator = generator
        self._device = torch.device(device)

    def __len__(self) -> int:
        return min(self.seen, self.capacity)

    def add(self, batch: ClipBatch) -> None:
        """Offer every clip of `batch` to the reservoir, in order.

        The n-th clip offered since the start is taken if n <= capacity, and afterwards with probability
        capacity / n, in place of a clip drawn uniformly. Where two clips of the batch draw one slot, the
        later one stays, as if they had come one by one.

        Raises RunError where the clips differ in shape or extras from those held.
        """
        generator = self._drawing()
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
        """Return `clips` distinct slots drawn uniformly, or all of them where fewer are held.

        The result is a copy, on the device given to `attach`; editing it does not change the memory.
        Raises RunError on an empty memory: ask `if memory:` first.
        """
        generator = self._drawing()
        if self._geometry is None or not len(self):
            raise RunError("the rehearsal memory is empty: check `if memory:` before sampling from it")
        chosen = torch.tensor(generator.choice(len(self), size=min(clips, len(self)), replace=False).tolist())
        return _batch({name: held[chosen] for name, held in self._slots.items()}, self._geometry).to(
            self._device
        )

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
        return {"capacity": self.capacity, "seen": self.seen, "geometry": geometry, "clips": self.contents}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Hold what `state` from `state_dict` held. Raises InputError where the capacities differ."""
        if state["capacity"] != self.capacity:
            raise InputError(
                f"the saved rehearsal memory has a capacity of {state['capacity']} clips, this one of "
                f"{self.capacity}: go on with the configuration the run was started with"
            )
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
        self._slots = {
            name: torch.empty((self.capacity, *value.shape[1:]), dtype=_stored_dtype(name, value.dtype))
            for name, value in clips.items()
        }

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
