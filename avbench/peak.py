"""The peak memory of a training step: exact, on CPU and GPU alike, and without running it.

What is counted: bytes of all tensors alive at once on the training device, from before the batch enters
it until the optimiser has stepped: parameters, gradients, optimiser state, what the method keeps there,
the batch, activations and temporaries. A storage counts once, however many views it has. The rehearsal
memory waits beside the device, is accounted apart (`avbench.accounting`) and does not count here; the
clips drawn from it for the step do.

- On CUDA the allocator knows: `torch.cuda.max_memory_allocated` (blocks of 512 bytes).
- Elsewhere `LiveBytes` follows every tensor that PyTorch's dispatcher returns, and its end. What a kernel
  takes and frees within one operation is not seen: fused attention counts as fused.
- Under `FakeTensorMode` the same `LiveBytes` counts the same bytes without computing anything.

A step is measured in its steady state: optimiser state exists and the memory has clips to rehearse, which
is so from the second step on.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MeasuredBy = Literal["CUDA allocator", "live tensors"]


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of distinct tensor storages alive, and their peak, while it is entered.

    Args:
        resident: tensors that are there already and count from the start.
        ignored: tensors that do not count, nor any view of them.
        device: only tensors on this type of device count, such as "cpu".

    Attributes:
        now: bytes alive. They go on counting down as tensors die after the mode was left.
        peak: most bytes alive at once so far.
    """

    def __init__(
        self, *, resident: Iterable[Tensor] = (), ignored: Iterable[Tensor] = (), device: str = "cpu"
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._device = device
        self._bytes: dict[int, int] = {}
        for tensor in ignored:
            self._follow(tensor, counts=False)
        self.count(resident)

    def count(self, tensors: Iterable[Tensor]) -> None:
        """Count `tensors`, as far as they are not counted yet."""
        for tensor in tensors:
            if tensor.device.type == self._device:
                self._follow(tensor, counts=True)
        self.peak = max(self.peak, self.now)

    def _follow(self, tensor: Tensor, *, counts: bool) -> None:
        if tensor.layout != torch.strided:
            raise NotImplementedError(f"the bytes of a {tensor.layout} tensor cannot be counted")
        storage = tensor.untyped_storage()
        # The address of the storage itself, not of its data: fake and empty storages have no data.
        key = storage._cdata
        if key not in self._bytes:
            self._bytes[key] = 0 if counts else -1
            weakref.finalize(storage, self._forget, key).atexit = False
        if self._bytes[key] >= 0:
            size = storage.nbytes()
            self.now += size - self._bytes[key]
            self._bytes[key] = size

    def _forget(self, key: int) -> None:
        self.now -= max(0, self._bytes.pop(key))

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run `func`, then count what it returned."""
        result = func(*args, **(kwargs or {}))
        self.count(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        return result


def peak_of_step(
    step: Callable[[], object],
    *,
    resident: Iterable[Tensor] = (),
    ignored: Iterable[Tensor] = (),
    device: torch.device | str = "cpu",
) -> int:
    """Return the peak in bytes of tensors alive on `device` while `step()` runs.

    Args:
        step: what is measured; called once.
        resident: tensors alive before: parameters, gradients, optimiser state, the batch. On CUDA the
            allocator knows them already.
        ignored: tensors that do not count, such as the rehearsal memory. On CUDA nothing is left out.
        device: where the step computes.
    """
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        step()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device))
    live = LiveBytes(resident=resident, ignored=ignored, device=device.type)
    with live:
        step()
    return live.peak
