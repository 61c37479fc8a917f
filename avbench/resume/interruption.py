"""Ctrl-C and requests to terminate: a run ends between two steps, when its state can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from avbench import processes

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether the user or the system asked this process to stop.

    Within `deferred`, the first signal is noted and told, and whoever works there asks `requested` where it
    can stop; a second one, and any outside, raises KeyboardInterrupt at once.

    Args:
        tell: is told, once, that the process will stop.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.requested = False
        self._deferring = False
        self._tell = tell

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take the signals for the length of a `with` block. Threads other than the main one get none."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            yield
        finally:
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

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested or not self._deferring:
            raise KeyboardInterrupt
        self.requested = True
        self._tell("Stopping after this step; once more stops at once.")
