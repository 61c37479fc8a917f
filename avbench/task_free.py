"""How task-free methods are kept from knowing where tasks begin and end.

They get Avalanche's hooks of single steps only, and see the strategy through a view in which what tells about
tasks cannot be read: the experience, its clips and loader, and the counters of the clock that restart.
"""

from __future__ import annotations

from typing import Any

from avalanche.core import BaseSGDPlugin

from avbench.errors import RunError
from avbench.method import Method

_TELLING = frozenset(
    {"experience", "adapted_dataset", "dataloader", "current_eval_stream", "plugins", "observer"}
)
_TELLING_IN_CLOCK = frozenset(
    {"train_exp_counter", "train_exp_epochs", "train_exp_iterations", "train_epoch_iterations"}
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
    clock = TaskFreeView(strategy.clock, _TELLING_IN_CLOCK, name, {})
    return TaskFreeView(strategy, _TELLING, name, {"clock": clock})
