"""One gate for all threads of a connection."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_kaleyra.api.gate import Gate
from airflow_provider_kaleyra.errors import NothingSentError


def pass_through(gate: Gate) -> float:
    gate.wait()
    return time.monotonic()


def test_requests_of_all_threads_leave_evenly() -> None:
    gate = Gate(50)
    began = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        passed = sorted(pool.map(lambda _: pass_through(gate), range(6)))

    assert all(moment - began >= slot * 0.02 for slot, moment in enumerate(passed))


def test_time_that_nobody_used_makes_no_burst() -> None:
    gate = Gate(50)
    gate.wait()
    time.sleep(0.1)
    began = time.monotonic()
    passed = [pass_through(gate) for _ in range(3)]

    assert all(moment - began >= slot * 0.02 for slot, moment in enumerate(passed))


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


def test_a_gate_shuts_also_when_its_last_request_left_long_ago() -> None:
    gate = Gate(None)
    gate.wait()
    time.sleep(0.15)
    began = time.monotonic()
    gate.shut(0.1)
    gate.wait()

    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("seconds", [(0.2, 0.05), (0.15, 0.2)])
def test_of_two_that_shut_the_gate_the_later_moment_counts(seconds: tuple[float, float]) -> None:
    gate = Gate(None)
    began = time.monotonic()
    for wait in seconds:
        gate.shut(wait)
    gate.wait()
    passed = time.monotonic() - began

    assert 0.2 <= passed < 0.6


def test_a_thread_that_waits_for_its_turn_waits_longer_when_the_gate_shuts() -> None:
    gate = Gate(10)
    gate.wait()
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(pass_through, gate)
        gate.shut(0.2)

        assert second.result() - began >= 0.2


def test_a_thread_that_waits_for_its_turn_waits_no_longer_than_the_gate_is_shut() -> None:
    gate = Gate(5)
    gate.wait()
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(pass_through, gate)
        time.sleep(0.1)
        gate.shut(0.4)
        gate.shut(0.5)

        assert 0.6 <= second.result() - began < 1


def test_a_closed_gate_lets_those_who_wait_give_up_at_once() -> None:
    gate = Gate(None)
    gate.shut(60)
    began = time.monotonic()
    threading.Timer(0.05, gate.close).start()

    with pytest.raises(NothingSentError):
        gate.wait()
    assert time.monotonic() - began < 5


def test_a_closed_gate_stays_closed() -> None:
    gate = Gate(None)
    gate.close()
    for _ in range(2):
        with pytest.raises(NothingSentError, match="Not sent"):
            gate.wait()
