"""The client: asks Kaleyra, waits and retries where that is safe, and buys nothing twice."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import takewhile
from typing import TypeVar
from urllib.parse import urlsplit

from airflow_provider_kaleyra.api import later, wire
from airflow_provider_kaleyra.api.batches import batches
from airflow_provider_kaleyra.api.config import ClientConfig
from airflow_provider_kaleyra.api.flight import fly
from airflow_provider_kaleyra.api.gate import Gate
from airflow_provider_kaleyra.api.models import (
    Answer,
    Details,
    DeviceLookup,
    LookupSubmission,
    LookupT,
    NumberLookup,
)
from airflow_provider_kaleyra.api.money import share
from airflow_provider_kaleyra.api.retry import wait_before_retry
from airflow_provider_kaleyra.api.transport import MOST_CONNECTIONS, Transport
from airflow_provider_kaleyra.errors import (
    BadRequestError,
    ConfigurationError,
    InvalidNumberError,
    KaleyraError,
    MissingFromAnswerError,
    NothingSentError,
    RateLimitedError,
    SetupError,
    UnreadableAnswerError,
)

log = logging.getLogger(__name__)

ParsedT = TypeVar("ParsedT")


class KaleyraClient:
    """Kaleyra's lookup APIs over one pooled session, for any number of threads.

    Numbers are E.164 text throughout. Methods that take many give one outcome for each, and stop only at a
    :class:`~airflow_provider_kaleyra.errors.SetupError`, for which no number is to blame.
    """

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        self._transport = Transport(config)
        self._gate = _gate(config)
        self._requests = 0
        self._counting = threading.Lock()
        self.retry_after: float | None = None
        """Seconds that the service asked to stay away when it was last given up on, if it named a time."""

    @property
    def requests_sent(self) -> int:
        """How many HTTP requests left so far."""
        return self._requests

    def stop(self) -> None:
        """Let no request leave any more; those in flight still get their answers."""
        self._gate.close()

    def lookup_device(self, number: str) -> DeviceLookup:
        """Ask whether one device can receive RCS messages.

        :raises KaleyraError: if there is no answer; its kind says why.
        """
        request = wire.build_device_lookup(self.config, number)
        parsed = self._ask(request, lambda response: wire.parse_devices(response, [number]))
        if number not in parsed.lookups:
            raise MissingFromAnswerError("Kaleyra's answer does not mention this number")
        return parsed.lookups[number]

    def ask_devices(self, numbers: Sequence[str]) -> Answer[DeviceLookup]:
        """Ask about a batch: one Bulk Device Lookup if it has 100 numbers or more, else single ones."""
        if len(numbers) < wire.BULK_LEAST:
            return self._ask_singly(numbers)
        try:
            request = wire.build_devices_lookup(self.config, numbers)
            parsed = self._ask(request, lambda response: wire.parse_devices(response, numbers))
        except BadRequestError as error:
            return self._ask_halves(self.ask_devices, numbers, error)
        except KaleyraError as error:
            return _failed(DeviceLookup, numbers, error)
        # Kaleyra leaves out what it drops without saying why; the single endpoint says.
        missing = [number for number in numbers if number not in parsed.lookups]
        rest = self._ask_singly(missing)
        singly = {lookup.phone_number: lookup for lookup in rest.lookups}
        left_out = MissingFromAnswerError("Kaleyra's answer does not mention this number")
        for number in missing:
            # What is a number may have been billed in the bulk, whatever became of the second question.
            again = singly.get(number)
            if again is None or (again.status == "failed" and not again.may_have_cost):
                (singly[number],) = _failed(DeviceLookup, [number], left_out).lookups
            elif singly[number].status != "invalid":
                singly[number] = replace(singly[number], bought_before=1)
        return Answer(
            (*parsed.lookups.values(), *singly.values()), parsed.ignored, stopped_by=rest.stopped_by
        )

    def ask_numbers(self, numbers: Sequence[str]) -> Answer[NumberLookup]:
        """Ask about a batch with one GET API Lookup."""
        return self._ask_batch(numbers, wire.build_numbers_lookup, wire.parse_numbers)

    def ask_submission(self, numbers: Sequence[str]) -> Answer[NumberLookup]:
        """Submit a batch with one POST API Lookup: what is accepted is ``pending``, with its id."""
        return self._ask_batch(numbers, wire.build_submission, later.parse_submission)

    def submit_number_lookup(self, numbers: Sequence[str]) -> LookupSubmission:
        """Submit numbers with one POST API Lookup.

        :raises KaleyraError: if it was not accepted; its kind says whether it may have been billed.
        """
        request = wire.build_submission(self.config, numbers)
        parsed = self._ask(request, lambda response: later.parse_submission(response, numbers))
        ids = {number: str(lookup.lookup_id) for number, lookup in parsed.lookups.items()}
        return LookupSubmission(parsed.id, ids)

    def ask_details(self, lookup_id: str, number: str | None = None) -> Details:
        """Ask what became of a submitted lookup. Free, and so asked again after anything temporary.

        :param number: the E.164 number that was submitted, where it is known: only its record counts.
        :raises KaleyraError: if the service cannot be asked now, or not by this path.
        """
        request = wire.build_lookup_details(self.config, lookup_id)
        return self._ask(
            request, lambda response: later.parse_details(response, lookup_id, number), billable=False
        )

    def _ask_batch(
        self,
        numbers: Sequence[str],
        build: Callable[[ClientConfig, Sequence[str]], wire.Request],
        parse: Callable[[wire.Response, Sequence[str]], wire.Parsed[NumberLookup]],
    ) -> Answer[NumberLookup]:
        try:
            parsed = self._ask(build(self.config, numbers), lambda response: parse(response, numbers))
        except BadRequestError as error:
            if len(numbers) > 1:
                return self._ask_halves(lambda half: self._ask_batch(half, build, parse), numbers, error)
            return _failed(NumberLookup, numbers, error)
        except KaleyraError as error:
            return _failed(NumberLookup, numbers, error)
        missing = [number for number in numbers if number not in parsed.lookups]
        # The service counts the numbers that it takes for none, and does not say which they are.
        refused = len(missing) == parsed.refused
        left_out = _failed(
            NumberLookup,
            missing,
            InvalidNumberError("Kaleyra counts this number as invalid")
            if refused
            else MissingFromAnswerError("Kaleyra's answer does not mention this number"),
        ).lookups
        if parsed.price is not None and left_out and not parsed.lookups:
            # A price without an answer was paid all the same, and has to be in somebody's books.
            shares = share(parsed.price, len(left_out))
            left_out = tuple(map(lambda lookup, part: replace(lookup, price=part), left_out, shares))
        return Answer((*parsed.lookups.values(), *left_out), parsed.ignored, parsed.price)

    def lookup_devices(
        self, numbers: Iterable[str], *, batch_size: int = wire.BULK_MOST, max_workers: int = 8
    ) -> Iterator[DeviceLookup]:
        """Give the outcome of each number as it comes; bulks of 100 to ``batch_size``, fewer singly."""
        _check("batch_size", batch_size, wire.BULK_MOST)
        _check("max_workers", max_workers, MOST_CONNECTIONS)
        return _lookups(self.ask_devices, batches(numbers, batch_size, wire.BULK_LEAST), max_workers)

    def lookup_numbers(
        self, numbers: Iterable[str], *, batch_size: int = 100, max_workers: int = 8
    ) -> Iterator[NumberLookup]:
        """Give the outcome of each number as it comes, asked in batches of up to ``batch_size``."""
        _check("batch_size", batch_size, wire.NUMBERS_MOST)
        _check("max_workers", max_workers, MOST_CONNECTIONS)
        return _lookups(self.ask_numbers, batches(numbers, batch_size), max_workers)

    def check(self) -> tuple[bool, str]:
        """Try hosts, SID and key with questions about no number, which cannot be billed.

        :return: whether both services can be used, and for each a sentence that names the likely cause.
        """
        checks = wire.build_checks(self.config)
        complaints = {name: self._complaint(request) for name, request in checks.items()}
        return not any(complaints.values()), " ".join(
            f"{name}: {complaint or 'reached, account and key accepted'}."
            for name, complaint in complaints.items()
        )

    def _complaint(self, request: wire.Request) -> str | None:
        try:
            wire.check(self._send(request))
        except BadRequestError:
            return None
        except NothingSentError as error:
            url = urlsplit(request.url)
            return f"{error}. Is {url.scheme}://{url.netloc} the right host or pod, and reachable"
        except KaleyraError as error:
            return str(error)
        return None

    def _ask_singly(self, numbers: Sequence[str]) -> Answer[DeviceLookup]:
        lookups: list[DeviceLookup] = []
        for number in numbers:
            try:
                lookups.append(self.lookup_device(number))
            except SetupError as error:
                return Answer(tuple(lookups), stopped_by=error)
            except KaleyraError as error:
                lookups += _failed(DeviceLookup, [number], error).lookups
        return Answer(tuple(lookups))

    def _ask_halves(
        self, ask: Callable[[Sequence[str]], Answer[LookupT]], numbers: Sequence[str], error: BadRequestError
    ) -> Answer[LookupT]:
        """Find the numbers to blame for a refusal, so that the others get their answers."""
        log.info("A batch of %d numbers was refused, asking in halves: %s", len(numbers), error)
        middle = len(numbers) // 2
        first = ask(numbers[:middle])
        if first.stopped_by:
            return first
        second = ask(numbers[middle:])
        prices = [half.price for half in (first, second) if half.price is not None]
        return Answer(
            first.lookups + second.lookups,
            first.ignored + second.ignored,
            sum(prices, Decimal(0)) if prices else None,
            second.stopped_by,
        )

    def _ask(
        self, request: wire.Request, parse: Callable[[wire.Response], ParsedT], *, billable: bool = True
    ) -> ParsedT:
        """Send a request, one that may cost money again only where nothing can have been bought."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._parse(parse, self._send(request))
            except KaleyraError as error:
                seconds = wait_before_retry(error, attempt, billable=billable, jitter=random.random())  # noqa: S311
                if seconds is None:
                    if isinstance(error, RateLimitedError):
                        self.retry_after = error.retry_after
                    raise
                again = "Attempt %d failed, the next follows in %.1f s: %s", attempt, seconds, error
                if not isinstance(error, RateLimitedError):
                    log.info(*again)
                    self._gate.pause(seconds)
                elif self._gate.shut(seconds):
                    # The others in flight are refused too, and have nothing to add.
                    log.info(*again)

    @staticmethod
    def _parse(parse: Callable[[wire.Response], ParsedT], response: wire.Response) -> ParsedT:
        try:
            return parse(response)
        except KaleyraError:
            raise
        except Exception as error:
            # Whatever it is, the request was sent and may have been billed.
            raise UnreadableAnswerError(
                f"An answer came that could not be read: {type(error).__name__}", status=response.status
            ) from None

    def _send(self, request: wire.Request) -> wire.Response:
        self._gate.wait()
        self._count(1)
        try:
            return self._transport.send(request)
        except NothingSentError:
            self._count(-1)
            raise

    def _count(self, requests: int) -> None:
        with self._counting:
            self._requests += requests


def _gate(config: ClientConfig) -> Gate:
    ceiling, shared = config.requests_per_second, None
    if ceiling and config.shared_limit:
        from airflow_provider_kaleyra.api.shared import SharedLimit

        shared = SharedLimit(config.shared_limit, config.sid, ceiling, config.burst)
    return Gate(ceiling, config.burst, shared)


def _check(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise ConfigurationError(f"{name} must be 1 to {most}, not {value!r}")


def _lookups(
    ask: Callable[[list[str]], Answer[LookupT]], groups: Iterable[list[str]], max_workers: int
) -> Iterator[LookupT]:
    stopped: list[SetupError] = []

    def ask_unless_stopped(group: list[str]) -> Answer[LookupT]:
        # When no request can succeed none leaves any more; what was in flight is paid for and given.
        answer: Answer[LookupT] = Answer((), stopped_by=stopped[0]) if stopped else ask(group)
        if answer.stopped_by:
            stopped.append(answer.stopped_by)
        return answer

    for answer in fly(ask_unless_stopped, takewhile(lambda _: not stopped, groups), max_workers):
        yield from answer.lookups
    if stopped:
        raise stopped[0]


def _failed(kind: type[LookupT], numbers: Sequence[str], error: KaleyraError) -> Answer[LookupT]:
    """Give each number of a request that failed its outcome, unless no number is to blame."""
    if isinstance(error, SetupError):
        return Answer((), stopped_by=error)
    return Answer(
        tuple(
            kind(
                phone_number=number,
                status=error.lookup_status,
                reason=error.lookup_reason,
                response_code=error.code,
                error_message=str(error),
            )
            for number in numbers
        )
    )
