"""Waiting for submitted lookups: rounds of questions by id, which are free, until nothing is pending."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from airflow_provider_kaleyra.api.flight import Flight
from airflow_provider_kaleyra.api.models import Details, NumberLookup
from airflow_provider_kaleyra.enrichment.kinds import ANSWERED, Kind
from airflow_provider_kaleyra.errors import (
    FilingError,
    KaleyraError,
    SetupError,
    StillPendingError,
    StoppedError,
)

log = logging.getLogger(__name__)

PAGE = 5_000
"""Ids held in memory at once."""
SETTLED_AT_ONCE = 500
SETTLE_EVERY = 2.0
"""Seconds after which what came is settled, however little it is."""
FAILED_ROUNDS = 5
"""Rounds in a row that may fail, for want of the service or the database, before waiting does."""
LAST_ROUND = 30.0
"""Seconds that the last round may go on asking when the time is over."""
FACTOR, MOST_INTERVALS = 1.5, 10
"""Each round waits so many times longer for the next, up to so many times the first interval."""


class Question(NamedTuple):
    """An id to ask about; ``number`` is what was submitted, where it is known.

    ``expired``: so old that an answer which does not know the id is its last.
    """

    lookup_id: str
    number: str | None = None
    expired: bool = False


class Pending(Protocol):
    """Where pending ids are, and where their outcomes belong."""

    def pages(self) -> Iterator[Sequence[Question]]:
        """Yield the ids that are pending, each once."""
        ...

    def settle(self, lookups: Sequence[NumberLookup]) -> None:
        """File what became of ids, those that are still pending: a replay changes nothing."""
        ...


class Service(Protocol):
    """What is asked about ids. It has no way to buy."""

    def ask_details(self, lookup_id: str, number: str | None = None) -> Details:
        """Ask what became of a lookup, from any thread."""
        ...

    def stop(self) -> None:
        """Let no request leave any more."""
        ...

    @property
    def requests_sent(self) -> int:
        """How many requests left so far."""
        ...


@dataclass
class Round:
    """What one round came to, in ids. ``unknown`` counts the pending ones that the service does not know."""

    asked: int = 0
    ok: int = 0
    failed: int = 0
    pending: int = 0
    unknown: int = 0

    def as_dict(self) -> dict[str, int]:
        """Give the counts as JSON values."""
        return asdict(self)


def interval(first: float, rounds: int, most: float | None = None) -> float:
    """Give the seconds to wait after a round.

    :param first: what the user said.
    :param rounds: how many rounds went before this one.
    :param most: the longest wait, if it is not so many times the first.
    """
    # The exponent is bounded too: no float is as large as a long wait would make it.
    return min(first * FACTOR ** min(rounds, 100), first * MOST_INTERVALS if most is None else most)


class Waiting:
    """Asks about pending ids, all of them once a round, and settles those that are answered as they come.

    :param max_workers: requests in flight.
    """

    def __init__(self, service: Service, pending: Pending, max_workers: int = 8) -> None:
        self._service = service
        self._pending = pending
        self._max_workers = max_workers
        self._stopped = threading.Event()
        self.last = Round()
        """The newest round that came to its end."""

    @property
    def requests_sent(self) -> int:
        """How many requests left so far."""
        return self._service.requests_sent

    def stop(self) -> None:
        """Ask nothing more; what came is filed. Safe in a signal handler."""
        self._stopped.set()
        self._service.stop()

    def wait(self, first: float, deadline: float) -> None:
        """Do rounds until nothing is pending.

        :raises StoppedError: if it was told to end. Parameters and other errors are those of :meth:`rounds`.
        """
        for seconds in self.rounds(first, deadline):
            self._stopped.wait(seconds)

    def rounds(self, first: float, deadline: float, most: float | None = None) -> Iterator[float]:
        """Do a round at each step, and yield how many seconds to wait before the next.

        :param first: seconds after the first round; later ones wait longer.
        :param deadline: when to give up, in seconds of the epoch.
        :param most: the longest wait between rounds, if not ten times the first.
        :raises StillPendingError: when it has passed; what came is filed.
        :raises SetupError: if no request can succeed.
        :raises KaleyraError: if too many rounds in a row failed.
        """
        failed = 0
        for count in itertools.count():
            try:
                self.last = self.round(max(deadline, time.time() + LAST_ROUND))
            except (SetupError, StoppedError):
                raise
            except KaleyraError as error:
                failed += 1
                if failed > FAILED_ROUNDS or (isinstance(error, FilingError) and not error.temporary):
                    raise
                log.warning("Round %d failed, %d in a row may: %s", count + 1, FAILED_ROUNDS, error)
            else:
                failed = 0
                log.info("Round %d: %s.", count + 1, told(self.last))
                if not self.last.pending:
                    return
            left = deadline - time.time()
            if left <= 0:
                raise StillPendingError(missing(self.last))
            yield min(interval(first, count, most), left)

    def round(self, deadline: float = float("inf")) -> Round:
        """Ask about each pending id once, or until the deadline; count the others as pending.

        :raises KaleyraError: if the service cannot be asked, or the database does not take the answers.
        """
        done = Round()
        with Flight(self._ask, self._max_workers) as flight:
            landing = _Landing(flight, self._pending, done, self._max_workers)
            try:
                for page in self._pending.pages():
                    for question in page:
                        if time.time() >= deadline:
                            done.pending += 1
                            continue
                        if self._stopped.is_set():
                            raise StoppedError("The task was told to end: what came is filed")
                        done.asked += 1
                        flight.submit(question)
                        landing.collect(None if flight.full else 0)
                while len(flight):
                    landing.collect(None)
            finally:
                landing.settle()
        landing.end()
        return done

    def _ask(self, question: Question) -> Details:
        return self._service.ask_details(question.lookup_id, question.number)


class _Landing:
    """What came back in a round, and what is not settled of it yet."""

    def __init__(
        self, flight: Flight[Question, Details], pending: Pending, done: Round, patience: int
    ) -> None:
        self._flight = flight
        self._pending = pending
        self._done = done
        self._patience = patience
        self._found: list[NumberLookup] = []
        self._since = time.monotonic()
        self._in_a_row = 0
        self._trouble: KaleyraError | None = None

    def collect(self, timeout: float | None) -> None:
        landed = self._flight.landed(timeout=timeout)
        self._flight.forget(landed)
        for question, future in landed:
            self._take(question, future)
        if len(self._found) >= SETTLED_AT_ONCE or time.monotonic() - self._since > SETTLE_EVERY:
            self.settle()

    def _take(self, question: Question, future: Future[Details]) -> None:
        try:
            details = future.result()
        except SetupError:
            raise
        except KaleyraError as error:
            self._done.pending += 1
            self._in_a_row += 1
            self._trouble = error
            if self._in_a_row > self._patience:
                # Nobody answers: there is no use in asking about the others now.
                raise
            return
        self._in_a_row, self._trouble = 0, None
        lookup = details.lookup
        if lookup is None and details.unknown and question.expired:
            lookup = NumberLookup(
                phone_number=question.number or "",
                status="failed",
                reason="lookup_expired",
                error_message="The service does not know the id any more",
                lookup_id=question.lookup_id,
            )
        if lookup is None:
            self._done.pending += 1
            self._done.unknown += details.unknown
        else:
            self._found.append(lookup)

    def settle(self) -> None:
        found, self._found = self._found, []
        self._since = time.monotonic()
        if found:
            self._pending.settle(found)
            answered = sum(lookup.status == "ok" for lookup in found)
            self._done.ok += answered
            self._done.failed += len(found) - answered

    def end(self) -> None:
        """Raise what went wrong if nothing went right after it."""
        if self._trouble is not None and self._in_a_row >= self._done.asked:
            raise self._trouble


class PendingList:
    """Pending ids in memory, with what became of those that are answered.

    :param file: what else is to be done with outcomes.
    """

    def __init__(
        self,
        questions: Iterable[Question],
        file: Callable[[Sequence[NumberLookup]], None] | None = None,
    ) -> None:
        self._waiting = {question.lookup_id: question for question in questions}
        self._file = file
        self.found: dict[str, NumberLookup] = {}

    def pages(self) -> Iterator[Sequence[Question]]:
        """Yield the ids that are pending, each once."""
        yield list(self._waiting.values())

    def settle(self, lookups: Sequence[NumberLookup]) -> None:
        """Keep what became of ids."""
        if self._file is not None:
            self._file(lookups)
        for lookup in lookups:
            self.found[str(lookup.lookup_id)] = lookup
            self._waiting.pop(str(lookup.lookup_id), None)


def told(counts: Round) -> str:
    """Say what a round came to."""
    return f"{counts.asked:,} asked, {counts.ok:,} ok, {counts.failed:,} failed, {counts.pending:,} pending"


def missing(counts: Round) -> str:
    """Say what is missing when the time is over."""
    text = (
        f"{counts.pending:,} submitted lookups have no answer yet. What came is filed, these stay pending: "
        "the next try goes on waiting, and buys nothing"
    )
    if counts.pending and counts.unknown == counts.pending:
        text += (
            ". The service knows none of their ids: if that is not what you expect, the path may be wrong, "
            "see the extra lookup_details_path of the Kaleyra connection"
        )
    return text


def details_of(lookup: NumberLookup, kind: Kind) -> dict[str, Any]:
    """Give an outcome as JSON values."""
    return {
        **kind.filed(kind.learnt(lookup)),
        "phone_number": lookup.phone_number or None,
        "price": None if lookup.price is None else format(lookup.price, "f"),
    }


def completed(outcome: Mapping[str, Any], lookup: NumberLookup | None, kind: Kind) -> Mapping[str, Any]:
    """Complete a pending outcome by what became of it."""
    if lookup is None:
        return outcome
    answered = datetime.now(UTC).isoformat() if lookup.status in ANSWERED else None
    return {**outcome, **kind.learnt(lookup), "answered_at": answered}
