"""The plugin contract: what a continual pre-training method is, and what it sees of the training.

A method is an Avalanche plugin. The keyword-only parameters of its `__init__` are its whole
configuration; it changes `strategy.mbatch` in `before_forward` and `strategy.loss` in `before_backward`,
and owns no loop, no optimiser and no backbone. What it keeps between steps hangs at its attributes, where
`avbench.kept_state` finds it.
"""

from __future__ import annotations

import difflib
import inspect
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from avalanche.core import BaseSGDPlugin

from avbench.errors import InputError, RunError
from avbench.kept_state import rehearsal_memories

if TYPE_CHECKING:
    from avbench.backbone.model import CAVMAE
    from avbench.clips import ClipBatch
    from avbench.matching import AudioVideoMatching
    from avbench.objectives import MaskedOutput
    from avbench.randomness import Randomness
    from avbench.settings import TrainingSettings

# Called at every step; a task-free method gets these alone.
STEP_HOOKS = (
    "before_training_iteration",
    "before_forward",
    "after_forward",
    "before_backward",
    "after_backward",
    "before_update",
    "after_update",
    "after_training_iteration",
)
# Every hook that Avalanche calls. All but the above tell when a task begins or ends.
HOOKS = tuple(sorted(name for name in dir(BaseSGDPlugin) if name.startswith(("before_", "after_"))))


class Strategy(Protocol):
    """What a method sees and may change of the training, within its hooks.

    Attributes:
        model: the backbone being trained.
        matching: the audio-video matching module, for methods with `uses_matching`.
        mbatch: the clips of this forward pass: from the stream until a method joins rehearsed ones,
            after those of the stream.
        incoming: how many of `mbatch`, its first, came from the stream.
        mb_output: what the masked forward pass returned, from `after_forward` on.
        loss: the loss of this forward pass; methods add to it in `before_backward`.
        optimizer: the one optimiser of the whole stream.
        settings, randomness, device: of the run.
    """

    model: CAVMAE
    mbatch: ClipBatch
    mb_output: MaskedOutput
    loss: torch.Tensor
    optimizer: torch.optim.Optimizer
    settings: TrainingSettings
    randomness: Randomness
    device: torch.device

    @property
    def matching(self) -> AudioVideoMatching:
        """The matching module; RunError where there is none."""

    @property
    def incoming(self) -> int:
        """Clips of `mbatch` from the stream."""

    def accumulate(self, loss: torch.Tensor) -> None:
        """Add the gradient of `loss` at once, weighted as `strategy.loss` will be, and free its graph."""


@dataclass(frozen=True)
class Option:
    """One option of a method: its name, its type and its default, which is the paper's."""

    name: str
    type: Any
    default: Any


class Method(BaseSGDPlugin):
    """A continual pre-training method: extend this, and call `super().__init__()`.

    Class attributes:
        paper: where the method is from: name, venue and year, link.
        summary: the first line of the class's docstring.
        needs_boundaries: whether the method must be told where tasks begin and end. Others get
            the hooks of single steps only, and cannot read the experience.
        joint: whether the method trains on all tasks at once (an upper bound, not a continual method).
        uses_matching: whether it trains the audio-video matching module; may be set by `__init__`.
    """

    paper: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    needs_boundaries: ClassVar[bool] = False
    joint: ClassVar[bool] = False
    uses_matching: bool = False

    _randomness: Randomness | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Not inspect.getdoc: it would pass the base's docstring off as the method's.
        cls.summary = (cls.__doc__ or "").strip().split("\n")[0]

    def __init__(self) -> None:
        super().__init__()
        check_hooks(type(self))
        type(self).options()

    @classmethod
    def options(cls) -> list[Option]:
        """Return the method's options in the order of its signature.

        Raises InputError where a parameter is not keyword-only, or lacks a type or a default.
        """
        if cls.__init__ is Method.__init__:
            return []
        types = typing.get_type_hints(cls.__init__)
        options = []
        for name, parameter in list(inspect.signature(cls.__init__).parameters.items())[1:]:
            if parameter.kind is not parameter.KEYWORD_ONLY:
                raise InputError(f"option {name!r} of {cls.__name__} is not keyword-only: put it after `*`")
            if name not in types or parameter.default is parameter.empty:
                raise InputError(f"option {name!r} of {cls.__name__} needs a type and a default")
            options.append(Option(name, types[name], parameter.default))
        return options

    def attach(self, strategy: Strategy) -> None:
        """Get ready to train: called once, before the first step, with backbone and optimiser in place.

        Methods that start from a copy of the backbone extend this. Rehearsal memories are given their
        random generators here.
        """
        self._randomness = strategy.randomness
        for path, memory in rehearsal_memories(self):
            memory.attach(strategy.randomness.numpy(f"method/{path}"), strategy.device)

    def generator(self, name: str) -> torch.Generator:
        """Return the method's CPU random generator called `name`; draw from no other."""
        if self._randomness is None:
            raise RunError(f"{type(self).__name__} draws random numbers before `attach` was called")
        return self._randomness.torch(f"method/{name}")

    # Avalanche's hooks, with our types. All do nothing here.

    def before_training_iteration(self, strategy: Strategy, **kwargs: Any) -> None:
        """Before anything else of an optimiser step."""

    def before_forward(self, strategy: Strategy, **kwargs: Any) -> None:
        """Before the masked forward pass: replace `strategy.mbatch`, for example by a joined batch."""

    def after_forward(self, strategy: Strategy, **kwargs: Any) -> None:
        """After the masked forward pass: `strategy.mb_output` is there."""

    def before_backward(self, strategy: Strategy, **kwargs: Any) -> None:
        """After the loss, before its gradient: add to `strategy.loss`."""

    def after_backward(self, strategy: Strategy, **kwargs: Any) -> None:
        """After the gradient of this forward pass was added."""

    def before_update(self, strategy: Strategy, **kwargs: Any) -> None:
        """Before the optimiser moves the parameters: gradients of the whole batch are there."""

    def after_update(self, strategy: Strategy, **kwargs: Any) -> None:
        """After the optimiser moved the parameters."""

    def after_training_iteration(self, strategy: Strategy, **kwargs: Any) -> None:
        """After everything else of an optimiser step."""


def check_hooks(method: type[Method]) -> None:
    """Raise InputError where `method` defines a hook that will never be called.

    That is a public method whose name is nearly a hook's, or starts as hooks do, and one that tells about
    tasks in a method that says it needs no boundaries.
    """
    inherited = set(dir(Method)) - set(HOOKS)
    for name, value in inspect.getmembers(method, callable):
        if name.startswith("_") or name in inherited:
            continue
        near = difflib.get_close_matches(name, HOOKS, n=1, cutoff=0.85)
        if name not in HOOKS and (near or name.startswith(("before_", "after_"))):
            meant = near or difflib.get_close_matches(name, HOOKS, n=1, cutoff=0.0)
            raise InputError(
                f"{method.__name__}.{name} is no hook of Avalanche and would never be called "
                f"(did you mean {meant[0]}?)"
            )
        told_of_tasks = name in HOOKS and name not in STEP_HOOKS
        if told_of_tasks and not method.needs_boundaries and value is not getattr(BaseSGDPlugin, name):
            raise InputError(
                f"{method.__name__} defines {name}, which tells about tasks, but says "
                "needs_boundaries = False: task-free methods are not told; "
                "set needs_boundaries = True, or use the hooks of single steps"
            )


class TaskFree(BaseSGDPlugin, supports_distributed=True):  # type: ignore[call-arg]
    """Stands for a task-free method among Avalanche's plugins: passes on the hooks of single steps.

    The method sees the strategy through `TaskFreeView`, where what tells about tasks cannot be read.
    """

    def __init__(self, method: Method, strategy: Any) -> None:
        super().__init__()
        self.method = method
        self.view = task_free_view(method, strategy)

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Pass the hook on."""
        self.method.before_training_iteration(self.view, **kwargs)

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        """Pass the hook on."""
        self.method.before_forward(self.view, **kwargs)

    def after_forward(self, strategy: Any, **kwargs: Any) -> None:
        """Pass the hook on."""
        self.method.after_forward(self.view, **kwargs)

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Pass the hook on."""
        self.method.before_backward(self.view, **kwargs)

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Pass the hook on."""
        self.method.after_backward(self.view, **kwargs)

    def before_update(self, strategy: Any, **kwargs: Any) -> None:
        """Pass the hook on."""
        self.method.before_update(self.view, **kwargs)

    def after_update(self, strategy: Any, **kwargs: Any) -> None:
        """Pass the hook on."""
        self.method.after_update(self.view, **kwargs)

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Pass the hook on."""
        self.method.after_training_iteration(self.view, **kwargs)


class TaskFreeView:
    """An object as a task-free method sees it: everything but the attributes that tell about tasks."""

    def __init__(self, target: Any, withheld: frozenset[str], method: str, instead: dict[str, Any]) -> None:
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_withheld", withheld)
        object.__setattr__(self, "_method", method)
        object.__setattr__(self, "_instead", instead)

    def __getattr__(self, name: str) -> Any:
        if name in self._withheld:
            raise RunError(
                f"{self._method} reads {type(self._target).__name__}.{name}, which tells about tasks, "
                "but says needs_boundaries = False: "
                "a task-free method must do without, or say needs_boundaries = True"
            )
        return self._instead[name] if name in self._instead else getattr(self._target, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._target, name, value)


def task_free_view(method: Method, strategy: Any) -> Any:
    """Return `strategy` as the task-free `method` sees it; what it sets there is set in `strategy`."""
    name = type(method).__name__
    tells_in_clock = frozenset(
        {"train_exp_counter", "train_exp_epochs", "train_exp_iterations", "train_epoch_iterations"}
    )
    tells = frozenset(
        {
            "experience",
            "adapted_dataset",
            "dataloader",
            "current_eval_stream",
            "_eval_streams",
            "plugins",
            "observer",
        }
    )
    clock = TaskFreeView(strategy.clock, tells_in_clock, name, {})
    return TaskFreeView(strategy, tells, name, {"clock": clock})
