"""The training as a plugin of Avalanche sees it: without labels, and without all that is made of them."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from avbench.errors import InputError

_WITHOUT_LABELS = "a stream of audio-video clips without labels has none"
_LABELS = f"which are labels; {_WITHOUT_LABELS}"
_LABELLED = f"which Avalanche's plugins take for inputs with their labels; {_WITHOUT_LABELS}"

# What a plugin may not read, and why.
_WITHHELD = {
    "mb_x": _LABELLED,
    "mb_y": _LABELS,
    "mb_task_id": _LABELS,
    "mbatch": _LABELLED,
    "adapted_dataset": _LABELLED,
    "_criterion": f"which compares outputs with labels; {_WITHOUT_LABELS}",
    "evaluator": "which has the scores of Avalanche's evaluation; retrieval is measured outside of training",
    "plugins": "which are other plugins; a run has one method",
}
_WITHHELD_IN_EXPERIENCE = {
    "dataset": _LABELLED,
    "classes_in_this_experience": _LABELS,
    "classes_seen_so_far": _LABELS,
    "previous_classes": _LABELS,
    "future_classes": _LABELS,
    "task_label": _LABELS,
    "task_labels": _LABELS,
    "origin_stream": "which has the tasks to come; a method sees one at a time",
    "benchmark": "which has the tasks to come; a method sees one at a time",
}


class LabelFreeView:
    """The training, or its experience, as a plugin of Avalanche sees it: without all that needs labels.

    Reading such an attribute raises InputError, as does setting any but the loss.

    Args:
        target: returns what is viewed. It refers to it weakly: a plugin that keeps its strategy, as some do,
            does not keep what hangs at it.
        place: what is viewed, for messages.
        withheld: attributes that cannot be read, and why.
        plugin: its name, for messages.
    """

    def __init__(
        self, target: Callable[[], Any], place: str, withheld: Mapping[str, str], plugin: str
    ) -> None:
        vars(self).update(_target=target, _place=place, _withheld=withheld, _plugin=plugin)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self._withheld:
            reason = self._withheld[name]
            raise InputError(f"{self._plugin} cannot be used: it reads {self._place}.{name}, {reason}")
        found = getattr(self._target(), name)
        if name == "experience" and found is not None:
            experience = functools.partial(_experience_of, self._target)
            return LabelFreeView(experience, "strategy.experience", _WITHHELD_IN_EXPERIENCE, self._plugin)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "loss":
            raise InputError(
                f"{self._plugin} cannot be used: it sets {self._place}.{name}, but clips, model and "
                "optimiser are the run's; of the strategy a plugin may change the loss"
            )
        setattr(self._target(), name, value)


def _experience_of(strategy: Callable[[], Any]) -> Any:
    return strategy().experience


def label_free_view(strategy: Any, plugin: str) -> LabelFreeView:
    """Return the training `strategy` as the plugin of this name may see it."""
    return LabelFreeView(weakref.ref(strategy), "strategy", _WITHHELD, plugin)
