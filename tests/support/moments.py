"""Moments at which a process may be killed: before, in and after claims, requests and settlements."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from airflow_provider_kaleyra.api.transport import Transport
from airflow_provider_kaleyra.enrichment.ledger import Ledger


class Moments:
    """Counts the moments that this process passes, and ends it with `kill -9` at one.

    :param fatal: that one; none lets it live.
    :param at_end: called just before.
    """

    def __init__(self, fatal: int | None, at_end: Callable[[], object] = lambda: None) -> None:
        self._fatal = fatal
        self._at_end = at_end
        self._count = itertools.count(1)
        self._lock = threading.Lock()
        self.seen = 0

    def watch(self) -> None:
        """Count from now on."""
        for kind, name in ((Ledger, "claim"), (Ledger, "settle"), (Transport, "send")):
            self._around(kind, name)
        event.listen(Engine, "commit", self._pass_one)

    def _pass_one(self, *_: object) -> None:
        with self._lock:
            self.seen = next(self._count)
            if self.seen == self._fatal:
                self._at_end()
                os.kill(os.getpid(), signal.SIGKILL)

    def _around(self, kind: type, name: str) -> None:
        original: Callable[..., Any] = getattr(kind, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._pass_one()
            result = original(*args, **kwargs)
            self._pass_one()
            return result

        setattr(kind, name, watched)
