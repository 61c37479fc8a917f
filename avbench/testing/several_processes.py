"""The check of methods that say that several processes may make a run with them.

Threads stand for the processes. They have what the check needs of those: each trains for itself, on its share
of the clips and with its own random numbers, and all exchange through `avbench.processes`. And where one ends
that another waits for, both are told, so that none waits for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from torch import Tensor

from avbench import processes
from avbench.clips import ClipBatch
from avbench.errors import RunError
from avbench.method import Method
from avbench.testing.finding import NotApplicable, Violation
from avbench.testing.tiny_run import TinyRun, batches, clips, first_difference

Result = TypeVar("Result")


@dataclass
class _Exchanged:
    """What each thread gave in each exchange so far, and which have ended."""

    given: list[list[Any]]
    ended: set[int] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)


@dataclass(frozen=True)
class _Others:
    """What all threads of `as_processes` are to one of them."""

    rank: int
    count: int
    exchanged: _Exchanged

    def gathered(self, value: Any) -> list[Any]:
        """Return every thread's value, in order of rank.

        Raises:
            RunError: another has ended without giving one, or gave another kind of thing.
        """
        given, ended = self.exchanged.given, self.exchanged.ended
        with self.exchanged.changed:
            given[self.rank].append(value.detach().clone() if isinstance(value, Tensor) else value)
            number = len(given[self.rank])
            self.exchanged.changed.notify_all()
            self.exchanged.changed.wait_for(
                lambda: all(len(each) >= number or rank in ended for rank, each in enumerate(given))
            )
            if any(len(each) < number for each in given):
                raise RunError(
                    "one process exchanges what another does not: all must take part, also while they have "
                    "no clips in a micro-batch (see stand_by_forward of avbench.method.Method)"
                )
            found = [each[number - 1] for each in given]
        if len({type(each) for each in found}) > 1:
            raise RunError(
                f"processes exchange different things: {', '.join(type(each).__name__ for each in found)}"
            )
        return found


def as_processes(count: int, work: Callable[[], Result]) -> list[Result]:
    """Return what `work` returns in each of `count` threads, which are taken for processes of one run.

    Raises what the first of them raised that raised anything.
    """
    exchanged = _Exchanged([[] for _ in range(count)])
    results: dict[int, Result] = {}
    errors: list[Exception] = []

    def be(rank: int) -> None:
        try:
            with processes.standing_in(_Others(rank, count, exchanged)):
                results[rank] = work()
        # Raised below, in the thread that called.
        except Exception as error:
            errors.append(error)
        finally:
            with exchanged.changed:
                exchanged.ended.add(rank)
                exchanged.changed.notify_all()

    threads = [threading.Thread(target=be, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[rank] for rank in range(count)]


def several_processes(method: type[Method]) -> None:
    """Of two processes that share clips and memory, both end with the same models, bit for bit."""
    if not method.over_processes:
        raise NotApplicable("it does not say over_processes = True")
    for micro_batch_size in (None, 1):
        first, second = as_processes(2, partial(_trained, method, micro_batch_size))
        if (different := first_difference(first, second)) is not None:
            raise Violation(
                f"two processes end with a different {different}: what all must do alike may follow from "
                "parameters, summed gradients, common_generator(name) and avbench.processes alone"
            )


def _trained(method: type[Method], micro_batch_size: int | None) -> dict[str, Any]:
    """The models at the end of two tasks, of which this process got its share."""
    # In the last batch of each task one process has no clip.
    tasks = ([*batches(2), clips(1, 5)], [*batches(2, 10), clips(1, 15)])
    run = TinyRun(method, micro_batch_size=micro_batch_size)
    run.train(*([_share(batch) for batch in task] for task in tasks))
    model = run.strategy.model
    return {"model": model.state_dict(), "evaluated model": run.method.evaluated_model(model).state_dict()}


def _share(batch: ClipBatch) -> ClipBatch:
    return batch[processes.rank() :: processes.count()]
