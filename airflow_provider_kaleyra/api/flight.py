"""Batches in flight: asked by worker threads, collected by the thread that owns them."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from types import TracebackType
from typing import Generic, TypeVar

Batch = TypeVar("Batch")
Result = TypeVar("Result")


class Flight(Generic[Batch, Result]):
    """Asks up to ``max_workers`` batches at a time; leaving the ``with`` block awaits those in flight.

    :param ask: what a worker does with a batch.
    """

    def __init__(self, ask: Callable[[Batch], Result], max_workers: int) -> None:
        self._ask = ask
        self._max_workers = max_workers
        self._pool = ThreadPoolExecutor(max_workers, thread_name_prefix="kaleyra")
        self._waiting: dict[Future[Result], Batch] = {}
        self._landing = threading.Event()

    def submit(self, batch: Batch) -> None:
        """Start asking a batch."""
        future = self._pool.submit(self._ask, batch)
        self._waiting[future] = batch
        future.add_done_callback(lambda _: self._landing.set())

    @property
    def full(self) -> bool:
        """Whether every worker has work."""
        return len(self._waiting) >= self._max_workers

    @property
    def any_landed(self) -> bool:
        """Whether a batch is done."""
        return any(future.done() for future in self._waiting)

    def landed(self, *, timeout: float | None = 0) -> list[tuple[Batch, Future[Result]]]:
        """Give the batches that are done, with their finished futures, until they are forgotten.

        :param timeout: seconds to wait for the first one; 0 not to wait, ``None`` for as long as it takes.
        """
        # `concurrent.futures.wait` would sign up with every one of them, for each that lands.
        self._landing.clear()
        landed = self._done()
        if not landed and self._waiting and timeout != 0:
            self._landing.wait(timeout)
            landed = self._done()
        return landed

    def _done(self) -> list[tuple[Batch, Future[Result]]]:
        return [(batch, future) for future, batch in self._waiting.items() if future.done()]

    def forget(self, landed: Iterable[tuple[Batch, Future[Result]]]) -> None:
        """Drop batches whose results are safe."""
        for _, future in landed:
            del self._waiting[future]

    def __len__(self) -> int:
        return len(self._waiting)

    def __enter__(self) -> Flight[Batch, Result]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


@cache
def keep_what_is_loaded() -> None:
    """Spare the garbage collector what Airflow has loaded: looking through it took a third of a long run."""
    # Once a process, so that no garbage of later work is kept.
    gc.freeze()


def fly(ask: Callable[[Batch], Result], batches: Iterable[Batch], max_workers: int) -> Iterator[Result]:
    """Ask batches, ``max_workers`` at a time, and yield the results as they come."""
    keep_what_is_loaded()
    # A few batches more are ready, so that many workers do not wait for who consumes the results.
    most = max_workers + max_workers // 4
    with Flight(ask, max_workers) as flight:
        for batch in batches:
            flight.submit(batch)
            yield from _results(flight, None if len(flight) >= most else 0)
        while len(flight):
            yield from _results(flight, None)


def _results(flight: Flight[Batch, Result], timeout: float | None) -> Iterator[Result]:
    landed = flight.landed(timeout=timeout)
    flight.forget(landed)
    for _, future in landed:
        yield future.result()
