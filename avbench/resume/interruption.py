"""Requests to stop: a run ends between two steps, when its state can be saved.

They come as signals: Ctrl-C, a request to terminate, and what a cluster sends before it takes the machine
away (`Preemption`).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from avbench import processes

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Preemption:
    """How a cluster says that it will soon take the machine away from a run that it starts again later.

    A request to terminate asks for a checkpoint then, and ends nothing: the cluster kills the process after
    it, and starts it again or not, or sends `signal`.

    Attributes:
        signal: ends the run when it is saved; whoever started the process puts it into the queue again.
        seconds: after `signal`, at which the run ends even where the step is not over and nothing is saved,
            so that there is time left to be put into the queue.
    """

    signal: signal.Signals
    seconds: float


class Interruption:
    """Whether the user, the system or a cluster asked this process to stop.

    Within `deferred`, the first signal is noted and told, and whoever works there asks `requested` where it
    can stop; a second one, and any outside, raises KeyboardInterrupt at once.

    Args:
        tell: is told, once, that the process will stop.
        preemption: by the cluster that this process was started by.

    Attributes:
        requested: to stop.
        preempted: whether it was the cluster that asked.
    """

    def __init__(self, tell: Callable[[str], None], preemption: Preemption | None = None) -> None:
        self.requested = False
        self.preempted = False
        self._preemption = preemption
        self._save = False
        self._deferring = False
        self._tell = tell
        self._process = os.getpid()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take the signals for the length of a `with` block. Threads other than the main one get none."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        taken: tuple[signal.Signals, ...] = _SIGNALS
        if self._preemption is not None:
            taken = (*_SIGNALS, self._preemption.signal, signal.SIGALRM)
        before = {number: signal.signal(number, self._on_signal) for number in taken}
        try:
            yield
        finally:
            if self._preemption is not None:
                signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let the first signal wait for the length of a `with` block, at whose end it raises."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came, to this process or to another that makes the run."""
        if processes.anywhere(self.requested):
            raise KeyboardInterrupt

    def asks_to_save(self) -> bool:
        """Return whether a checkpoint was asked for since the last call, in any process of the run."""
        if self._preemption is None:
            return False
        asked, self._save = self._save, False
        return processes.anywhere(asked)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            # A process forked from this one, such as a loader's, has this handler too.
            return
        if self._preemption is not None and number == signal.SIGTERM:
            # Outside, everything that can be saved is.
            self._save = self._save or self._deferring
        elif self._preemption is not None and number == self._preemption.signal:
            self._preempt(self._preemption)
        elif self.requested or not self._deferring:
            raise KeyboardInterrupt
        else:
            self.requested = True
            self._tell("Stopping after this step; once more stops at once.")

    def _preempt(self, preemption: Preemption) -> None:
        if self.preempted:
            # Said again, which makes it no more urgent.
            return
        self.preempted = True
        if not self._deferring:
            raise KeyboardInterrupt
        self.requested = True
        signal.setitimer(signal.ITIMER_REAL, preemption.seconds)
        self._tell(f"Stopping after this step, or in {preemption.seconds:.0f} s: the cluster asks for it.")
