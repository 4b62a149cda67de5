"""One gate before the service for all threads of a connection."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import Protocol

from airflow_provider_kaleyra.errors import NothingSentError

PACE = 0.98
"""The share of the ceiling that is used: one request is longer on its way than another, and what left within
a second may arrive within less."""


class Shared(Protocol):
    """A ceiling that several processes keep together."""

    most: int
    """How many requests may be asked for at once."""

    def take(self, requests: int) -> float:
        """Ask for so many requests: 0 if they may leave, else the seconds after which to ask again."""
        ...


class Gate:
    """Lets requests pass evenly, and shuts for all of them when the service says wait.

    Slots are given out on a clock of its own that stands still while the gate is shut, so that those who
    already hold a slot wait longer too, and all leave in the same even order afterwards. Threads that are
    late for their slots, because the machine was busy, still never make more of any second than is allowed.

    :param requests_per_second: the ceiling over any second, or ``None`` for no ceiling.
    :param burst: how many may leave at once after a pause; the ceiling holds for them too.
    :param shared: what other processes keep the same ceiling with.
    """

    def __init__(
        self, requests_per_second: float | None, burst: int = 1, shared: Shared | None = None
    ) -> None:
        most, seconds = window(requests_per_second) if requests_per_second else (0, 0.0)
        self._interval = seconds / most if most else 0.0
        self._window = seconds
        self._credit = (burst - 1) * self._interval
        self._next_slot = float("-inf")
        self._set_back = 0.0
        self._shut_until = float("-inf")
        self._left: deque[float] = deque(maxlen=most)
        self._shared = shared
        self._granted = 0
        self._waiting = 0
        self._booking = threading.Lock()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def wait(self) -> None:
        """Return when the next request may leave.

        :raises NothingSentError: if the gate is closed for good.
        """
        slot = self._slot() if self._interval else float("-inf")
        while (seconds := self._seconds_to(slot)) > 0:
            self.pause(seconds)
        self.pause(0)

    def pause(self, seconds: float) -> None:
        """Hold up the calling thread alone for so long.

        :raises NothingSentError: at once if the gate is closed for good.
        """
        if self._closed.wait(seconds) if seconds else self._closed.is_set():
            raise NothingSentError("Not sent: the run is ending")

    def shut(self, seconds: float) -> bool:
        """Let no request pass for so long, counted from now; say whether it was open."""
        with self._lock:
            now = time.monotonic()
            was_open = self._shut_until <= now
            until = now + seconds
            if until > self._shut_until:
                self._set_back += until - max(now, self._shut_until)
                self._shut_until = until
            return was_open

    def close(self) -> None:
        """Let no request pass any more; those that wait give up."""
        self._closed.set()

    def _slot(self) -> float:
        """Book the next slot, on the gate's own clock."""
        with self._lock:
            self._waiting += 1
        try:
            with self._booking:
                if self._shared:
                    self._share(self._shared)
                with self._lock:
                    now = max(time.monotonic(), self._shut_until) - self._set_back
                slot = max(self._next_slot, now - self._credit)
                self._next_slot = slot + self._interval
                return slot
        finally:
            with self._lock:
                self._waiting -= 1

    def _share(self, shared: Shared) -> None:
        """Wait for leave from those who keep the ceiling with us; it is asked for all who wait here."""
        while not self._granted:
            wanted = min(self._waiting, shared.most)
            seconds = max(0.0, self._shut_until - time.monotonic()) or shared.take(wanted)
            self.pause(seconds)
            self._granted = 0 if seconds else wanted
        self._granted -= 1

    def _seconds_to(self, slot: float) -> float:
        """Seconds until a request with this slot may leave; if it may leave now, it counts as having left."""
        with self._lock:
            now = time.monotonic()
            earliest = max(slot + self._set_back, self._shut_until)
            if self._left and len(self._left) == self._left.maxlen:
                earliest = max(earliest, self._left[0] + self._window)
            if earliest <= now:
                self._left.append(now)
            return earliest - now


def window(requests_per_second: float) -> tuple[int, float]:
    """Give the requests that may leave within a time, and the seconds of it: one, and a little for the way.

    Of a ceiling that is no whole number, the time is as long as the next whole number of requests takes.
    """
    most = math.ceil(requests_per_second)
    return most, most / (requests_per_second * PACE)
