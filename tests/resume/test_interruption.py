"""Signals: noted while a step is taken, at once otherwise; a cluster's are told from the user's."""

from __future__ import annotations

import os
import signal
import time

import pytest

from avbench.resume.interruption import Interruption, Preemption

CLUSTER = Preemption(signal.SIGUSR2, seconds=60)


@pytest.fixture
def told() -> list[str]:
    return []


def test_the_cluster_s_signal_waits_for_the_step_however_often_it_comes(told) -> None:
    interruption = Interruption(told.append, CLUSTER)
    steps = []

    def step() -> None:
        with interruption.deferred():
            for _ in range(3):
                signal.raise_signal(signal.SIGUSR2)
            steps.append("whole")

    with interruption.watched(), pytest.raises(KeyboardInterrupt):
        step()
    assert steps == ["whole"]
    assert interruption.requested
    assert interruption.preempted
    assert told == ["Stopping after this step, or in 60 s: the cluster asks for it."]


def test_a_step_that_takes_too_long_is_not_waited_for(told) -> None:
    interruption = Interruption(told.append, Preemption(signal.SIGUSR2, seconds=0.05))
    steps = []

    def step() -> None:
        with interruption.deferred():
            signal.raise_signal(signal.SIGUSR2)
            time.sleep(10)
            steps.append("whole")

    with interruption.watched(), pytest.raises(KeyboardInterrupt):
        step()
    assert steps == []
    assert interruption.preempted


def test_outside_a_step_the_cluster_s_signal_ends_at_once(told) -> None:
    interruption = Interruption(told.append, CLUSTER)
    with interruption.watched(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGUSR2)
    assert interruption.preempted


def test_on_a_cluster_a_request_to_terminate_asks_for_one_checkpoint(told) -> None:
    interruption = Interruption(told.append, CLUSTER)
    with interruption.watched():
        signal.raise_signal(signal.SIGTERM)
        assert not interruption.asks_to_save()
        with interruption.deferred():
            signal.raise_signal(signal.SIGTERM)
            assert interruption.asks_to_save()
            assert not interruption.asks_to_save()
    assert not interruption.requested


def test_elsewhere_a_request_to_terminate_ends_the_run(told) -> None:
    interruption = Interruption(told.append)
    with interruption.watched(), pytest.raises(KeyboardInterrupt), interruption.deferred():
        signal.raise_signal(signal.SIGTERM)
    assert interruption.requested
    assert not interruption.preempted
    assert not interruption.asks_to_save()


def test_a_forked_process_leaves_the_signals_to_the_run(told) -> None:
    interruption = Interruption(told.append, CLUSTER)
    with interruption.watched():
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
                    signal.raise_signal(number)
                code = int(interruption.preempted)
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0


def test_handlers_and_alarm_are_put_back(told) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    interruption = Interruption(told.append, CLUSTER)
    with pytest.raises(KeyboardInterrupt), interruption.watched(), interruption.deferred():
        signal.raise_signal(signal.SIGUSR2)
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
