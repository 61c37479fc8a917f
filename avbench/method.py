"""The plugin contract: what a continual pre-training method is, and what it sees of the training.

A method is an Avalanche plugin. The keyword-only parameters of its `__init__` are its whole
configuration; it changes `strategy.mbatch` in `before_forward` and `strategy.loss` in `before_backward`,
and owns no loop, no optimiser and no backbone. What it keeps between steps hangs at its attributes, where
`avbench.kept_state` finds it.
"""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import torch
from avalanche.core import BaseSGDPlugin

from avbench.errors import InputError, RunError
from avbench.kept_state import rehearsal_memories
from avbench.options import Option, options_of

if TYPE_CHECKING:
    from avbench.backbone.model import CAVMAE
    from avbench.backbone.tokens import MaskNoise
    from avbench.clips import ClipBatch
    from avbench.explanation import Explanation
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
        mb_noise: the noise that masked `mbatch`, from `after_forward` on: with it another model sees the
            same patches of the same clips.
        loss: the loss of this forward pass; methods add to it in `before_backward`.
        optimizer: the one optimiser of the whole stream.
        settings, randomness, device: of the run.
    """

    model: CAVMAE
    mbatch: ClipBatch
    mb_output: MaskedOutput
    mb_noise: MaskNoise
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

    def autocast(self) -> torch.autocast:
        """The context for passes of the model by the method itself, in the run's precision."""

    def accumulate(self, loss: torch.Tensor) -> None:
        """Add the gradient of `loss` at once, weighted as `strategy.loss` will be, and free its graph."""


class Method(BaseSGDPlugin):
    """A continual pre-training method: extend this, and call `super().__init__()`.

    Class attributes:
        paper: where the method is from: name, venue and year, link.
        summary: the first line of the class's docstring.
        needs_boundaries: whether the method must be told where tasks begin and end. Others get
            the hooks of single steps only, and cannot read the experience.
        model_copies: how many times the backbone's size the method keeps beside its rehearsal memory: slow
            copies, teachers, importances of parameters.
        joint: whether the method trains on all tasks at once (an upper bound, not a continual method).
        uses_matching: whether it trains the audio-video matching module; may be set by `__init__`.
        over_processes: whether it is right where several processes make a run, each with its share of the
            clips and of the rehearsal memory. It is where all that it adds is a mean over clips, and what it
            keeps for all of them (teachers, importances) follows from parameters and summed gradients alone.
            A mean over rehearsed clips is weighed by the clips that came in, which differs where a process
            holds fewer clips than come to it.
            What else it needs of the others' clips it exchanges by `avbench.processes`; see
            `stand_by_forward`. Every class says it for itself.
    """

    paper: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    needs_boundaries: ClassVar[bool] = False
    model_copies: ClassVar[int] = 0
    joint: ClassVar[bool] = False
    over_processes: ClassVar[bool] = False
    uses_matching: bool = False

    _randomness: Randomness | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Not inspect.getdoc: it would pass the base's docstring off as the method's.
        cls.summary = (cls.__doc__ or "").strip().split("\n")[0]
        # Not inherited: a subclass does something else. Avalanche has another name for it.
        cls.over_processes = cls.__dict__.get("over_processes", False)
        cls.supports_distributed = cls.over_processes

    def __init__(self) -> None:
        super().__init__()
        check_hooks(type(self))
        type(self).options()

    @classmethod
    def options(cls) -> list[Option]:
        """Return the method's options in the order of its signature.

        Raises InputError where a parameter is not keyword-only, or lacks a type or a default.
        """
        parameters = [] if cls.__init__ is Method.__init__ else _parameters(cls)
        for parameter in parameters:
            if parameter.kind is not parameter.KEYWORD_ONLY:
                raise InputError(
                    f"option {parameter.name!r} of {cls.__name__} is not keyword-only: put it after `*`"
                )
            if parameter.annotation is parameter.empty or parameter.default is parameter.empty:
                raise InputError(f"option {parameter.name!r} of {cls.__name__} needs a type and a default")
        return list(options_of(cls).values())

    def attach(self, strategy: Strategy) -> None:
        """Get ready to train: called once, before the first step, with backbone and optimiser in place.

        Methods that start from a copy of the backbone extend this. Rehearsal memories are given their
        random generators here.
        """
        self._randomness = strategy.randomness
        for path, memory in rehearsal_memories(self):
            memory.attach(strategy.randomness.numpy(f"method/{path}"), strategy.device)

    def evaluated_model(self, model: CAVMAE) -> CAVMAE:
        """Return the model that retrieval is measured with: `model`, the one being trained.

        Methods whose paper evaluates a slow copy return that instead.
        """
        return model

    def explain(self, strategy: Strategy, clips: ClipBatch) -> Explanation | None:
        """Return which patches of `clips` a training step would work with now; None: all, as here.

        For pictures of what a method that selects patches selects. Called between steps, without gradient.
        Nothing that is kept may change; random numbers come from the method's generators, which are given
        back as they were.

        Args:
            strategy: as in the hooks; there is no batch.
            clips: (B) whole ones, on the run's device.
        """
        return None

    def generator(self, name: str) -> torch.Generator:
        """Return the method's CPU random generator called `name`; draw from no other."""
        return self._attached_randomness().torch(f"method/{name}")

    def numpy_generator(self, name: str) -> np.random.Generator:
        """Return the method's NumPy generator called `name`: for numbers that Python code decides by."""
        return self._attached_randomness().numpy(f"method/{name}")

    def common_generator(self, name: str) -> torch.Generator:
        """Return the method's CPU generator called `name`, the same in all processes that make a run.

        For what they must do alike, such as make parameters: all draw from it equally often.
        """
        self._attached_randomness().common(f"method/{name}")
        return self.generator(name)

    def common_numpy_generator(self, name: str) -> np.random.Generator:
        """Return the method's NumPy generator called `name`, the same in all processes that make a run."""
        self._attached_randomness().common(f"method/{name}")
        return self.numpy_generator(name)

    # Of several processes, those without a clip in a micro-batch stand by while the others take theirs, and
    # get these two of its hooks alone. So a method exchanges in `before_forward` and `before_backward`, which
    # they stand for, or in the hooks of a whole step, which every process gets.

    def stand_by_forward(self, strategy: Strategy) -> None:
        """Exchange what `before_forward` does, in a process without clips: called in its place.

        A method that exchanges nothing there leaves this alone, as most do. `strategy.mbatch` has no clips.
        """

    def stand_by_backward(self, strategy: Strategy) -> None:
        """Exchange what `before_backward` does, in a process without clips: called in its place.

        Add to `strategy.loss`, a 0 there, what was gathered with a gradient: the way back through it is an
        exchange as well.
        """

    def _attached_randomness(self) -> Randomness:
        if self._randomness is None:
            raise RunError(f"{type(self).__name__} draws random numbers before `attach` was called")
        return self._randomness

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


def _parameters(method: type[Method]) -> list[inspect.Parameter]:
    return list(inspect.signature(method.__init__).parameters.values())[1:]


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
