"""The loop: read, normalise, claim, ask, settle. One thread owns the database, workers ask."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

from airflow_provider_kaleyra.api.batches import batches
from airflow_provider_kaleyra.api.flight import Flight, keep_what_is_loaded
from airflow_provider_kaleyra.api.models import Answer, Lookup
from airflow_provider_kaleyra.enrichment.budget import Budget
from airflow_provider_kaleyra.enrichment.filing import Filing
from airflow_provider_kaleyra.enrichment.kinds import Kind
from airflow_provider_kaleyra.enrichment.memory import Claimed, Memory, Run, Settled
from airflow_provider_kaleyra.enrichment.plan import Input, by_number, in_shard
from airflow_provider_kaleyra.enrichment.progress import Progress
from airflow_provider_kaleyra.enrichment.rescue import Rescue
from airflow_provider_kaleyra.enrichment.results import Output
from airflow_provider_kaleyra.enrichment.scratch import Scratch
from airflow_provider_kaleyra.enrichment.settings import Service, Settings
from airflow_provider_kaleyra.enrichment.source import CHUNK, Source
from airflow_provider_kaleyra.enrichment.summary import Summary
from airflow_provider_kaleyra.enrichment.unsettled import Unsettled
from airflow_provider_kaleyra.errors import FilingError, NothingSentError, StoppedError

log = logging.getLogger(__name__)

AWAITED, LOOK_EVERY = 60.0, 1.0
"""Seconds for which another task's answers are awaited in the end, and between two looks."""
UNANSWERED = ("failed", "in_doubt")

InFlight = Flight[list[Claimed], Answer[Any]]
Landed = list[tuple[list[Claimed], Future[Answer[Any]]]]
Pair = tuple[Input, Mapping[str, Any]]


@dataclass
class Enrichment:
    """One run of the pipeline.

    :param memory: the ledger, or without one what the task's own tries remember.
    :param rescue: where paid answers go that the database does not take.
    """

    kind: Kind
    run: Run
    service: Service
    source: Source
    output: Output
    memory: Memory
    settings: Settings
    rescue: Rescue | None = None
    summary: Summary = field(default_factory=Summary)

    def __post_init__(self) -> None:
        self._waiting = Unsettled()
        self._budget = Budget(self.settings.max_lookups, self.settings.max_price)
        # What is written down as asked for, and has not left yet.
        self._leaving: deque[list[Claimed]] = deque()
        self._accounted: set[Future[Answer[Any]]] = set()
        self._elsewhere: set[str] = set()
        self._held = 0
        self._stopped_by: BaseException | None = None
        self._filing = Filing(self.memory, self.output, self.rescue)
        self._scratch = Scratch()
        self._progress = Progress(self.summary, self._total, lambda: self.service.requests_sent)

    def execute(self) -> Summary:
        """Run to the end. Whatever ends it, the answers to requests that left are filed first.

        :raises SetupError: if no request can succeed; no number is marked for it.
        :raises FilingError: if the database is gone; it names the file that keeps the paid answers.
        :raises StoppedError: if :meth:`stop` was called.
        """
        keep_what_is_loaded()
        with Flight(self._ask, self.settings.max_workers) as flight:
            try:
                rows = self.source.rows()
                if self._budget.limited:
                    with self.memory.reading() as connection:
                        self._budget.remember(*self.memory.bought(connection))
                self._ask_all(flight)
                if not self._stopped_by:
                    self._look_elsewhere()
                    self._count_skipped(rows)
            except FilingError as error:
                self._stopped_by = error
            finally:
                self._end(flight)
        if self._stopped_by:
            raise self._stopped_by
        log.info("%s.", self.summary)
        return self.summary

    def stop(self) -> None:
        """Ask nothing more; :meth:`execute` files what comes back and raises. Safe in a signal handler."""
        message = "The task was told to end: what had been asked is filed, the rest is not asked"
        self._stop(self._stopped_by or StoppedError(message))

    def _stop(self, reason: BaseException) -> None:
        self._stopped_by = reason
        self._filing.ending = True
        self.service.stop()

    def _end(self, flight: InFlight) -> None:
        """Let nothing leave any more, and file what comes back of what has left."""
        self._filing.ending = True
        self.service.stop()
        # Not empty where the run was ended between writing down and asking.
        unsent = list(chain(*self._leaving))
        self._leaving.clear()
        self._settle_all(flight)
        if unsent:
            self._filing.settle([], [], unsent)
        self._not_asked(list(self._waiting))
        self.summary.requests = self.service.requests_sent
        self.summary.end()
        if (waiting := self.summary.buckets["pending"]) and not self.summary.submits:
            log.info(
                "%d inputs wait for lookups that were submitted: LookupDetailsSensor settles them.", waiting
            )
        if self._held:
            log.warning(
                "%d numbers are held in %s: they may have been paid for without an answer. To have them "
                "asked about again, run: kaleyra-ledger release --api %s --conn-id …",
                self._held,
                self.kind.ledger,
                self.kind.name,
            )

    def _count_skipped(self, rows: int) -> None:
        """Count the rows that were not read, since their outcome stands."""
        skipped = max(0, rows - self.summary.inputs)
        if skipped:
            self.summary.inputs += skipped
            self.summary.buckets["reused"] += skipped
            for numbers in self.source.standing():
                self.summary.distinct += self._scratch.count(numbers)

    def _total(self) -> int:
        _, shards = self.settings.shard or (0, 1)
        return self.source.total() // shards

    def _ask(self, claims: list[Claimed]) -> Answer[Any]:
        return self.service.ask([claim.phone_number for claim in claims])

    def _ask_all(self, flight: InFlight) -> None:
        settings = self.settings
        coming = self._batches()
        ready: deque[list[str]] = deque()
        more = True
        while more or ready:
            if self._budget.cautious:
                self._settle_all(flight)
            # Where all that may be read is in flight, the next is read when some of it has come back.
            await_one = flight.full or (self._waiting.crowded and not ready)
            landed = self._landed(flight, timeout=None if await_one else 0)
            room = settings.max_workers - len(flight) + len(landed) if settings.max_price is None else 1
            while more and len(ready) < room and not (self._waiting.crowded and len(flight) > len(landed)):
                more = self._read_on(coming, ready)
            self._turn(flight, landed, [ready.popleft() for _ in range(min(room, len(ready)))])
            # While all are in flight, what leaves next is read.
            while more and len(ready) < settings.max_workers and flight.full and not flight.any_landed:
                if self._waiting.crowded:
                    break
                more = self._read_on(coming, ready)
        self._settle_all(flight)

    def _batches(self) -> Iterator[list[str]]:
        """Cut what is to be asked into batches; where many rows have few numbers, before there are more."""
        portions = self._to_ask()
        ended = False

        def until_crowded() -> Iterator[str]:
            nonlocal ended
            for numbers in portions:
                yield from numbers
                if self._waiting.crowded:
                    return
            ended = True

        while not ended:
            yield from batches(until_crowded(), self.settings.batch_size, self.settings.least_batch)
            # So that what is in flight is looked after, although there is nothing new to ask.
            yield []

    @staticmethod
    def _read_on(coming: Iterator[list[str]], ready: deque[list[str]]) -> bool:
        """Read the next batch, and tell whether there was one."""
        batch = next(coming, None)
        if batch:
            ready.append(batch)
        return batch is not None

    def _landed(self, flight: InFlight, *, timeout: float | None) -> Landed:
        # Not all that landed: the others' places are filled while these are in flight again.
        return flight.landed(timeout=timeout)[: max(1, self.settings.max_workers // 4)]

    def _settle_all(self, flight: InFlight) -> None:
        while len(flight):
            self._turn(flight, self._landed(flight, timeout=None), [])

    def _to_ask(self) -> Iterator[list[str]]:
        """Read the source; file what needs no question, and yield the numbers of each chunk that do."""
        for chunk in self.source.chunks(CHUNK):
            inputs = chunk
            if shard := self.settings.shard:
                inputs = [item for item in chunk if in_shard(item.raw, shard)]
            numbers, invalid = by_number(inputs, self.settings.reading)
            self.summary.inputs += len(inputs)
            self.summary.distinct += self._scratch.count(numbers)
            new = self._waiting.add(numbers)
            if invalid:
                outcomes = [(item, _invalid(reason, self.run.id)) for item, reason in invalid]
                self._filing.commit(partial(self.output.file, outcomes=outcomes))
                self._count(outcomes)
            self._reuse(new)
            yield [number for number in new if number in self._waiting and number not in self._elsewhere]
            if self._stopped_by:
                return

    def _reuse(self, numbers: Collection[str]) -> None:
        """File what is known already, and take note of what another task is asking."""
        if not numbers:
            return
        with self.memory.reading() as connection:
            known = self.memory.known(connection, numbers)
        reused: list[Pair] = []
        others: list[Pair] = []
        held = []
        for number, row in known.items():
            outcome = dict(row.outcome)
            if row.this_try:
                self.summary.awaited += self.settings.ending
                self.summary.unanswered += self.settings.ending and outcome["status"] in UNANSWERED
                others += [(item, outcome) for item in self._waiting.take(number)]
            elif row.reusable:
                reused += [(item, outcome) for item in self._waiting.take(number)]
            elif row.pending:
                # Adopted: whoever submitted it, its answer is for these inputs too.
                adopted = {**outcome, "run_id": self.run.id}
                others += [(item, adopted) for item in self._waiting.take(number)]
            elif row.held:
                held.append(number)
                self.summary.still_in_doubt += outcome["run_id"] == self.run.id
                others += [(item, {**outcome, "status": "in_doubt"}) for item in self._waiting.take(number)]
            elif row.elsewhere:
                self._elsewhere.add(number)
        self._held += len(held)
        if others or reused:
            self._filing.commit(
                lambda connection: self.memory.doubt(connection, held),
                lambda connection: self.output.file(connection, others + reused),
            )
            self._count(others)
            self._count(reused, bucket="reused")

    def _affordable(self, batch: list[str]) -> list[str]:
        """Cut batches to what this run may still ask and spend; what is cut off is not asked."""
        allowed = 0 if self._stopped_by else self._budget.allows(len(batch))
        self._not_asked(batch[allowed:])
        return batch[:allowed]

    def _turn(self, flight: InFlight, landed: Landed, leaving: list[list[str]]) -> None:
        """File what came back and write down what is asked next, in one transaction; only then let it leave.

        One for all of them: a commit takes as long as a thousand rows.
        """
        self._account(landed)
        settled, unsent = self._read(landed)
        inputs = [self._waiting.of(item.outcome["phone_number"]) for item in settled]
        wanted = self._affordable(list(chain(*leaving)))
        if not (landed or wanted):
            return

        def claim(connection: Any) -> None:
            if wanted:
                claims = {made.phone_number: made for made in self.memory.claim(connection, wanted)}
                ours = ([claims[number] for number in batch if number in claims] for batch in leaving)
                self._leaving = deque(ours)

        if kept := self._filing.settle(settled, inputs, unsent, claim):
            # Nothing more is asked: what comes back could not be filed either.
            self._leaving.clear()
            self._stop(kept)
        flight.forget(landed)
        self._accounted.difference_update(future for _, future in landed)
        self._count_settled(settled, inputs, unsent)
        lost = set(wanted).difference(claim.phone_number for claim in chain(*self._leaving))
        while self._leaving:
            if batch := self._leaving[0]:
                flight.submit(batch)
                self.summary.asked += len(batch)
                self._budget.leave(len(batch))
            self._leaving.popleft()
        if not kept:
            # Another task was quicker with these; what it has settled already is reused.
            self._reuse(lost)
            self._elsewhere |= {number for number in lost if number in self._waiting}
        self._progress.report()

    def _account(self, landed: Landed) -> None:
        """Add up what batches cost, each once: a run that is ended while these are filed comes here again."""
        for batch, future in landed:
            if future in self._accounted:
                continue
            self._accounted.add(future)
            answer = None if future.exception() else future.result()
            self._budget.land(len(batch), answer)
            if answer:
                self.summary.price += answer.price or 0
                if answer.ignored:
                    log.warning("An answer held %d records that nobody asked for; ignored.", answer.ignored)

    def _read(self, landed: Landed) -> tuple[list[Settled], list[Claimed]]:
        """Tell what became of each claim of batches that came back: an outcome, or that it never left."""
        settled: list[Settled] = []
        unsent: list[Claimed] = []
        for batch, future in landed:
            if error := future.exception():
                self._stopped_by = self._stopped_by or error
                continue
            answer = future.result()
            self._stopped_by = self._stopped_by or answer.stopped_by
            lookups: Iterable[Lookup] = answer.lookups
            if self._filing.ending:
                # What was only kept from leaving because the run ends has no outcome.
                lookups = (item for item in lookups if item.reason != NothingSentError.lookup_reason)
            found = {lookup.phone_number: lookup for lookup in lookups}
            now = landed[0][0][0].now()
            for claim in batch:
                if lookup := found.get(claim.phone_number):
                    settled.append(Settled.of(claim, lookup, self.kind, self.run, now))
                else:
                    unsent.append(claim)
        return settled, unsent

    def _count_settled(
        self, settled: Sequence[Settled], inputs: Sequence[Sequence[Input]], unsent: Sequence[Claimed]
    ) -> None:
        for item, raws in zip(settled, inputs, strict=True):
            self.summary.buckets[item.outcome["status"]] += len(raws)
            self._waiting.take(item.outcome["phone_number"])
        self._not_asked([claim.phone_number for claim in unsent])
        self.summary.asked -= len(unsent)
        self.summary.unanswered += sum(item.outcome["status"] in UNANSWERED for item in settled)

    def _not_asked(self, numbers: Iterable[str]) -> None:
        for number in numbers:
            inputs = self._waiting.take(number)
            self.summary.buckets["not_asked"] += len(inputs)
            self.output.leave(number, inputs)

    def _look_elsewhere(self) -> None:
        """Await what another task is asking about: its answers are for these inputs too."""
        until = time.monotonic() + AWAITED
        while self._elsewhere and not self._stopped_by:
            left = [number for number in self._elsewhere if number in self._waiting]
            self._elsewhere.clear()
            self._reuse(left)
            if not self._elsewhere:
                break
            if time.monotonic() >= until:
                log.info(
                    "Another task is asking about %d of the numbers: the next run reuses its answers.",
                    len(self._elsewhere),
                )
                break
            time.sleep(LOOK_EVERY)

    def _count(self, outcomes: Iterable[Pair], bucket: str | None = None) -> None:
        self.summary.buckets.update(bucket or str(outcome["status"]) for _, outcome in outcomes)


def _invalid(reason: str, run_id: str) -> dict[str, Any]:
    return {"phone_number": None, "status": "invalid", "reason": reason, "run_id": run_id}
