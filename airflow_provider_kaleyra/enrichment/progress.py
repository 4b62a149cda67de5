"""What long work says of itself: how far it is, how fast, what it cost, and when it will end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import pendulum

from airflow_provider_kaleyra.enrichment.summary import Summary

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two reports."""


class Progress:
    """Reports on a run at most every ten seconds; a run shorter than that says nothing.

    :param total: counts the inputs; called once, and only by a run that is long.
    :param requests: how many requests left so far.
    """

    def __init__(self, summary: Summary, total: Callable[[], int], requests: Callable[[], int]) -> None:
        self._summary = summary
        self._count = total
        self._requests = requests
        self._total: int | None = None
        self._reported = time.monotonic()

    def report(self) -> None:
        """Say how far the run is, if it is time to."""
        now = time.monotonic()
        if now - self._reported < EVERY:
            return
        self._reported = now
        if self._total is None:
            self._total = self._count()
        self._summary.requests = self._requests()
        log.info("%s", told(self._summary, self._total, now - self._summary.started))


def told(summary: Summary, total: int, seconds: float) -> str:
    """Say how far a run is after so many seconds."""
    done = summary.buckets.total()
    speed = done / seconds
    price = f" for {summary.price.normalize():f}" if summary.price else ""
    left = pendulum.duration(seconds=round((total - done) / speed)) if done else None
    return (
        f"{done:,} of {total:,} inputs done, {speed:,.0f} a second; asked about {summary.asked:,} numbers "
        f"in {summary.requests:,} requests{price}"
        + (f"; about {left.in_words(locale='en')} left" if left and total > done else "")
    )
