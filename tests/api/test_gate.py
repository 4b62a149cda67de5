"""One gate for all threads of a connection."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from airflow_provider_kaleyra.api.gate import Gate
from airflow_provider_kaleyra.errors import NothingSentError
from tests.api.conftest import most_in_a_second


def pass_through(gate: Gate) -> float:
    gate.wait()
    return time.monotonic()


class Clock:
    """A clock of one thread: time passes while it waits, and no other."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def leave(self, gate: Gate) -> float:
        gate.wait()
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("airflow_provider_kaleyra.api.gate.time", clock)
    monkeypatch.setattr(Gate, "pause", lambda _, seconds: clock.pause(seconds))
    return clock


class WatchedGate(Gate):
    """Tells when somebody waits at it."""

    def __init__(self, requests_per_second: float | None) -> None:
        super().__init__(requests_per_second)
        self.somebody_waits = threading.Event()

    def pause(self, seconds: float) -> None:
        if seconds:
            self.somebody_waits.set()
        super().pause(seconds)


def test_requests_of_all_threads_leave_evenly() -> None:
    gate = Gate(50)
    began = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        passed = sorted(pool.map(lambda _: pass_through(gate), range(6)))

    assert all(moment - began >= slot * 0.02 for slot, moment in enumerate(passed))


def test_time_that_nobody_used_makes_no_burst(clock: Clock) -> None:
    gate = Gate(50)
    gate.wait()
    clock.pause(10)
    passed = [clock.leave(gate) for _ in range(3)]

    assert all(later - earlier >= 0.02 for earlier, later in pairwise(passed))


def test_time_that_nobody_used_makes_a_burst_where_one_is_allowed(clock: Clock) -> None:
    gate = Gate(50, burst=4)
    gate.wait()
    clock.pause(10)
    passed = [clock.leave(gate) for _ in range(6)]

    assert passed[:4] == [1010.0] * 4
    assert all(later - earlier >= 0.02 for earlier, later in pairwise(passed[3:]))


@pytest.mark.parametrize("burst", [1, 20, 1000])
def test_a_burst_is_part_of_the_ceiling_of_its_second(clock: Clock, burst: int) -> None:
    gate = Gate(50, burst=burst)
    gate.wait()
    clock.pause(10)
    passed = [clock.leave(gate) for _ in range(500)]

    assert passed.count(passed[0]) == min(burst, 50)
    assert most_in_a_second(passed) <= 50
    assert passed[-1] - passed[0] < 10.3


class OnABusyMachine(Gate):
    """Whoever sleeps wakes late."""

    def pause(self, seconds: float) -> None:
        super().pause(max(seconds, 0.7) if seconds else 0)


def test_threads_that_are_late_for_their_slots_keep_the_ceiling_of_any_second() -> None:
    gate = OnABusyMachine(50)
    with ThreadPoolExecutor(60) as pool:
        passed = list(pool.map(lambda _: pass_through(gate), range(60)))

    assert most_in_a_second(passed) <= 50


def test_without_a_ceiling_nobody_waits() -> None:
    began = time.monotonic()
    gate = Gate(None)
    for _ in range(1000):
        gate.wait()

    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("ceiling", [None, 100])
def test_a_shut_gate_holds_up_all_threads(ceiling: float | None) -> None:
    gate = Gate(ceiling)
    began = time.monotonic()
    gate.shut(0.2)
    with ThreadPoolExecutor(4) as pool:
        passed = list(pool.map(lambda _: pass_through(gate), range(4)))

    assert min(passed) - began >= 0.2


@pytest.mark.parametrize("burst", [1, 5])
@pytest.mark.parametrize("ceiling", [None, 100])
def test_a_gate_shuts_also_when_its_last_request_left_long_ago(
    clock: Clock, ceiling: float | None, burst: int
) -> None:
    gate = Gate(ceiling, burst)
    gate.wait()
    clock.pause(10)
    gate.shut(7)

    assert clock.leave(gate) == 1017


@pytest.mark.parametrize("seconds", [(0.2, 0.05), (0.15, 0.2)])
def test_of_two_that_shut_the_gate_the_later_moment_counts(
    clock: Clock, seconds: tuple[float, float]
) -> None:
    gate = Gate(None)

    assert [gate.shut(wait) for wait in seconds] == [True, False]
    assert clock.leave(gate) == 1000.2
    assert gate.shut(1)


def test_a_thread_that_waits_for_its_turn_waits_longer_when_the_gate_shuts() -> None:
    gate = Gate(10)
    gate.wait()
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(pass_through, gate)
        gate.shut(0.2)

        assert second.result() - began >= 0.2


def test_a_thread_that_waits_for_its_turn_waits_no_longer_than_the_gate_is_shut() -> None:
    gate = WatchedGate(5)
    gate.wait()
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(pass_through, gate)
        assert gate.somebody_waits.wait(5)
        gate.shut(0.4)
        gate.shut(0.5)

        assert 0.7 <= second.result() - began < 1.2


def test_a_closed_gate_lets_those_who_wait_give_up_at_once() -> None:
    gate = WatchedGate(None)
    gate.shut(60)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(gate.wait)
        assert gate.somebody_waits.wait(5)
        gate.close()

        with pytest.raises(NothingSentError):
            waiting.result(5)


def test_a_closed_gate_stays_closed() -> None:
    gate = Gate(None)
    gate.close()
    for _ in range(2):
        with pytest.raises(NothingSentError, match="Not sent"):
            gate.wait()
