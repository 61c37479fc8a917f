"""The plugin contract: options from the signature, hooks that exist, task-free methods kept from tasks."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch

from avbench.errors import InputError, RunError
from avbench.method import Method
from avbench.rehearsal import RehearsalMemory


class Replay(Method):
    """Do what this line says.

    Not what this one says.

    Args:
        capacity: clips in the memory.
        mode: how.
    """

    def __init__(self, *, capacity: int = 5, mode: Literal["a", "b"] = "a") -> None:
        super().__init__()
        self.memory = RehearsalMemory(capacity)


def test_options_and_summary_come_from_the_class() -> None:
    options = Replay.options()
    assert [(option.name, option.default) for option in options] == [("capacity", 5), ("mode", "a")]
    assert options[0].type is int
    assert options[0].description == "clips in the memory."
    assert Replay.summary == "Do what this line says."

    class Silent(Replay):
        pass

    assert Silent.summary == ""


def test_options_that_are_no_configuration_are_refused() -> None:
    class Positional(Method):
        def __init__(self, capacity: int = 5) -> None:
            super().__init__()

    class Untyped(Method):
        def __init__(self, *, capacity=5) -> None:  # type: ignore[no-untyped-def]
            super().__init__()

    class Required(Method):
        def __init__(self, *, capacity: int) -> None:
            super().__init__()

    for cls, reason in ((Positional, "keyword-only"), (Untyped, "a type"), (Required, "a default")):
        with pytest.raises(InputError, match=f"'capacity' of {cls.__name__} .*{reason}"):
            cls(capacity=3)


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("before_foward", "before_forward"),
        ("befor_backward", "before_backward"),
        ("after_update_step", "after_update"),
        ("beforeForward", "before_forward"),
    ],
)
def test_a_misspelt_hook_is_an_error_with_the_near_name(misspelt: str, meant: str) -> None:
    cls = type("Typo", (Method,), {misspelt: lambda self, strategy, **kwargs: None})
    with pytest.raises(InputError, match=rf"Typo\.{misspelt}.*did you mean {meant}\?"):
        cls()


def test_other_public_methods_are_welcome() -> None:
    cls = type("Free", (Method,), {name: lambda self: None for name in ("update", "forward", "mix", "reset")})
    cls()


def test_hooks_that_tell_about_tasks_are_for_methods_that_need_boundaries() -> None:
    hook = {"before_training_exp": lambda self, strategy, **kwargs: None}
    with pytest.raises(InputError, match="needs_boundaries = True"):
        type("Peeking", (Method,), hook)()
    type("Honest", (Method,), {**hook, "needs_boundaries": True})()


def test_boundaries_are_told_to_those_that_need_them(pretraining: Any, clips: Any, task: Any) -> None:
    told: list[Any] = []

    class Told(Method):
        needs_boundaries = True

        def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
            told.append(("begins", strategy.clock.train_exp_counter))

        def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
            told.append(("ends", strategy.experience.dataset))

    strategy, batches = pretraining(Told(), epochs=1), [clips(2)]
    strategy.train(task(batches))
    strategy.train(task(batches))
    assert told == [("begins", 0), ("ends", batches), ("begins", 1), ("ends", batches)]


def test_attach_gives_every_memory_its_own_generator(pretraining: Any, clips: Any) -> None:
    class Two(Method):
        def __init__(self) -> None:
            super().__init__()
            self.memories = {"a": RehearsalMemory(40), "b": RehearsalMemory(40)}

    method = Two()
    with pytest.raises(RunError, match="before `attach`"):
        method.generator("x")
    strategy = pretraining(method)
    for memory in method.memories.values():
        memory.add(clips(40))
    first, second = (memory.sample(40).clip for memory in method.memories.values())
    assert not torch.equal(first, second)
    assert method.generator("x") is strategy.randomness.torch("method/x")
