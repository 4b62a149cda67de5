"""One gate before the service for all threads of a connection."""

from __future__ import annotations

import threading
import time

from airflow_provider_kaleyra.errors import NothingSentError


class Gate:
    """Lets requests pass evenly, and shuts for all of them when the service says wait.

    Slots are given out on a clock of its own that stands still while the gate is shut, so that those who
    already hold a slot wait longer too, and all leave in the same even order afterwards.

    :param requests_per_second: the ceiling, or ``None`` for no ceiling. There are no bursts.
    """

    def __init__(self, requests_per_second: float | None) -> None:
        self._interval = 1 / requests_per_second if requests_per_second else 0.0
        self._next_slot = float("-inf")
        self._set_back = 0.0
        self._shut_until = float("-inf")
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def wait(self) -> None:
        """Return when the next request may leave.

        :raises NothingSentError: if the gate is closed for good.
        """
        with self._lock:
            now = max(time.monotonic(), self._shut_until) - self._set_back
            slot = max(self._next_slot, now)
            self._next_slot = slot + self._interval
        while (left := slot + self._set_back - time.monotonic()) > 0:
            self.pause(left)
        self.pause(0)

    def pause(self, seconds: float) -> None:
        """Hold up the calling thread alone for so long.

        :raises NothingSentError: at once if the gate is closed for good.
        """
        if self._closed.wait(seconds) if seconds else self._closed.is_set():
            raise NothingSentError("Not sent: the run is ending")

    def shut(self, seconds: float) -> None:
        """Let no request pass for so long, counted from now."""
        with self._lock:
            now = time.monotonic()
            until = now + seconds
            if until > self._shut_until:
                self._set_back += until - max(now, self._shut_until)
                self._shut_until = until

    def close(self) -> None:
        """Let no request pass any more; those that wait give up."""
        self._closed.set()
