"""What a training step of a method needs at its peak, for any backbone, geometry and batch.

The method's own hooks run, in the training loop that runs them in an experiment, on made-up clips; one that
needs boundaries is told of a task for each step. With
fake tensors nothing is computed, so that the paper's geometry takes seconds on a laptop; without, the
steps are taken for real. Both count the same bytes (`avbench.peak`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from avbench.accounting import MemoryAccount, memory_account, step_residents
from avbench.backbone.model import CAVMAE
from avbench.backbone.sizes import BackboneSize
from avbench.clips import ClipBatch, ClipGeometry
from avbench.errors import RunError
from avbench.kept_state import rehearsal_memories
from avbench.matching import AudioVideoMatching
from avbench.method import Method
from avbench.peak import MeasuredBy, peak_of_step
from avbench.randomness import Randomness
from avbench.settings import TrainingSettings
from avbench.training import ContinualPretraining

# The first step makes the optimiser's state and fills the memory; the second rehearses, and is measured.
STEPS_BEFORE = 1

Attention = Literal["fused", "materialised"]
"""How attention is computed: by a fused kernel, as this project trains wherever torch has one; or with every
token x token matrix written out, as the paper's published code does, which its memory figures include."""


@dataclass(frozen=True)
class StepMemory:
    """The peak of one training step, and what is held between steps.

    Attributes:
        peak: most bytes alive at once on the device during the step.
        measured_by: what counted them.
        account: bytes held after it by kind, with the rehearsal memory as if it were full.
    """

    peak: int
    measured_by: MeasuredBy
    account: MemoryAccount


def step_memory(
    make_method: Callable[[], Method],
    *,
    size: BackboneSize,
    geometry: ClipGeometry,
    settings: TrainingSettings,
    device: torch.device | str = "cpu",
    attention: Attention = "fused",
    fake: bool = True,
) -> StepMemory:
    """Return what the second training step of a fresh run needs, when the memory has clips to rehearse.

    Args:
        make_method: makes the method, with its options.
        size, geometry: of the backbone and of the clips.
        settings: of the training; batch size, micro-batch size and precision count.
        device: where the steps are taken. On CUDA the peak includes whatever else is held there.
        attention: as it is trained, or with its matrices written out as in the paper's code.
        fake: whether to count without computing anything; on the CPU alone, with the kernels of a CPU.

    Raises:
        RunError: the method reads values out of tensors, which fake ones do not have.
    """
    device = torch.device(device)
    if fake and device.type != "cpu":
        raise ValueError("fake tensors are counted on the CPU: leave device at 'cpu' or set fake=False")
    with ExitStack() as stack:
        if attention == "materialised":
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if fake:
            stack.enter_context(FakeTensorMode())
            stack.enter_context(_modules_stay())
        strategy = untrained_strategy(
            make_method(), size, geometry, settings, device, make_loader=lambda task: task.dataset
        )
        method = strategy.method
        if fake:
            stack.enter_context(_values_refused(type(method).__name__))
            stack.enter_context(_WithoutValues(strategy.optimizer))
        for number in range(STEPS_BEFORE):
            with _task(strategy, number, geometry):
                strategy.step(made_up_clips(geometry, settings.batch_size, device))
        batch = made_up_clips(geometry, settings.batch_size, device)
        stack.enter_context(_task(strategy, STEPS_BEFORE, geometry))
        resident, memories = step_residents(
            method=method, modules=modules_of(strategy), optimiser=strategy.optimizer
        )
        peak = peak_of_step(
            lambda: strategy.step(batch),
            resident=[*resident, batch.video, batch.audio, batch.clip],
            ignored=memories,
            device=device,
        )
        full = sum(memory.capacity_nbytes for _, memory in rehearsal_memories(method))
        account = memory_account(method=method, modules=modules_of(strategy), optimiser=strategy.optimizer)
    measured_by: MeasuredBy = "CUDA allocator" if device.type == "cuda" else "live tensors"
    return StepMemory(peak, measured_by, account.with_rehearsal_memory(full))


def untrained_strategy(
    method: Method,
    size: BackboneSize,
    geometry: ClipGeometry,
    settings: TrainingSettings,
    device: torch.device | str,
    *,
    make_loader: Callable[[Any], Any] | None = None,
) -> ContinualPretraining:
    """Return a training of `method` from fixed weights; without a loader it is ready for `step` alone."""
    backbone = CAVMAE(size, geometry, mask_ratio=settings.mask_ratio)
    matching = AudioVideoMatching(size.width, size.heads) if method.uses_matching else None
    return ContinualPretraining(
        backbone=backbone,
        matching=matching,
        method=method,
        settings=settings,
        randomness=Randomness(0),
        make_loader=make_loader or _no_loader,
        device=device,
    )


def modules_of(strategy: ContinualPretraining) -> list[nn.Module]:
    """Return what a strategy trains: the backbone, and the matching module if its method uses it."""
    backbone: nn.Module = strategy.model
    return [backbone, strategy.matching] if strategy.method.uses_matching else [backbone]


def made_up_clips(geometry: ClipGeometry, clips: int, device: torch.device | str = "cpu") -> ClipBatch:
    """Return a batch of noise, in the types that a loader gives."""
    generator = torch.Generator().manual_seed(0)
    video = (clips, geometry.video_patches, geometry.video_patch_values)
    audio = (clips, geometry.audio_patches, geometry.audio_patch_values)
    return ClipBatch(
        video=torch.randint(0, 256, video, dtype=torch.uint8, generator=generator),
        audio=torch.randn(audio, generator=generator).half(),
        clip=torch.arange(clips),
        geometry=geometry,
    ).to(device)


@contextmanager
def _task(strategy: ContinualPretraining, number: int, geometry: ClipGeometry) -> Iterator[None]:
    """Tell a method that needs boundaries of a task of made-up clips: it may prepare what its steps need."""
    if not strategy.method.needs_boundaries:
        yield
        return
    clips = [made_up_clips(geometry, strategy.settings.batch_size, strategy.device)]
    strategy.experience = SimpleNamespace(
        task_name=f"task {number + 1}", current_experience=number, dataset=clips
    )
    strategy._before_training()
    strategy._before_training_exp()
    strategy._before_training_epoch()
    yield
    strategy._after_training_epoch()
    strategy._after_training_exp()
    strategy._after_training()


def _no_loader(experience: object) -> Any:
    raise RunError("this strategy only takes single steps: it has no clips to train on")


@contextmanager
def _modules_stay() -> Iterator[None]:
    """Let `Module.to(device)` leave fake modules alone: torch cannot move them, and all are on the CPU."""
    original = nn.Module.to

    def stay(module: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        if dtype is not None or (device is not None and device.type != "cpu"):
            raise RunError(
                f"a module cannot become {dtype or device} while it is measured without running it"
            )
        return module

    nn.Module.to = stay  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        nn.Module.to = original  # type: ignore[method-assign]


@contextmanager
def _values_refused(method: str) -> Iterator[None]:
    """Name the method where an operation needs a value or a shape that fake tensors do not have."""
    try:
        yield
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise RunError(
            f"{method} cannot be measured without running it: it needs values out of tensors ({error}), "
            "which fake ones do not have. Measure it in a run (avbench run), or let it work without .item(), "
            "nonzero and boolean indexing"
        ) from error


class _WithoutValues(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Lets code that draws numbers, and an optimiser that reads its step counters, run on fake tensors.

    Draws are made without their generator, which fake tensors do not take with every distribution. Step
    counters are the only values an optimiser reads; all are answered with the first step's.
    """

    def __init__(self, optimiser: Optimizer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._optimiser = optimiser

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run `func`, or answer for it."""
        if func is torch.ops.aten._local_scalar_dense.default and self._is_counter(args[0]):
            return 1.0
        options = dict(kwargs or {})
        if "generator" in options:
            options["generator"] = None
        return func(*args, **options)

    def _is_counter(self, tensor: Tensor) -> bool:
        storage = tensor.untyped_storage()._cdata
        counters = (state.get("step") for state in self._optimiser.state.values())
        return any(isinstance(step, Tensor) and step.untyped_storage()._cdata == storage for step in counters)
