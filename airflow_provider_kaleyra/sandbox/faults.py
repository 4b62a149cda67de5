"""Faults on demand: their kinds, the requests they meet, and whether these buy their lookups all the same."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from airflow_provider_kaleyra.sandbox.account import Api, Endpoint
from airflow_provider_kaleyra.sandbox.models import E164


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of fault does.

    `bought`: whether the lost or spoilt answer had been computed, and so paid for. `status` is the default of
    a kind that has a status of its own; the others keep the computed answer's, or (`sends` False) send none.
    """

    bought: bool
    text: str
    status: int | None = None
    sends: bool = True


KINDS: dict[str, Kind] = {
    "refuse": Kind(
        False, "the connection is reset as soon as the request arrives; nothing is computed", sends=False
    ),
    "reset": Kind(
        True, "the answer is computed, then the connection is reset before a byte of it", sends=False
    ),
    "reset_mid_body": Kind(True, "the connection ends after half of the body that Content-Length promised"),
    "hang": Kind(True, "nothing comes for `seconds` (3600), then a reset", sends=False),
    "drip": Kind(True, "the whole answer comes, a byte every `seconds` (0.05)"),
    "429": Kind(False, "too many requests, in Kaleyra's envelope, with `retry_after` or without", 429),
    "json_error": Kind(False, "`status` (500, 502, 503 …) in Kaleyra's envelope", 500),
    "prov_error": Kind(False, "`status` (502) in Kaleyra's envelope with PROV_ERROR", 502),
    "html_error": Kind(
        True, "a gateway's HTML page with `status` (502) in place of the computed answer", 502
    ),
    "truncated": Kind(True, "a complete HTTP answer that holds the first half of the JSON"),
    "wrong_json": Kind(True, "valid JSON of another shape"),
    "empty": Kind(True, "no body"),
    "missing": Kind(True, "`count` numbers, or the fault's own number, are left out of the answer"),
    "extra": Kind(True, "`count` numbers that nobody asked for are in the answer; they are not bought"),
    "reordered": Kind(True, "the numbers come in reverse order"),
    "repeated": Kind(True, "`count` numbers come twice"),
    "other_case": Kind(True, "other letter cases and types: `changes`, see `CHANGES`"),
    "pending": Kind(False, "a question by id is told to wait", 202),
    "not_found": Kind(False, "the id of a question is not known, yet or any more", 404),
    "gone": Kind(False, "the id of a question has expired", 410),
    "redirect": Kind(False, "`status` (307) to `location`", 307),
}

CHANGES: dict[str, str] = {
    "is_ported": 'is_ported is text, "1"',
    "country_code": 'country_code is text, "91"',
    "rcs_enabled": 'rcsEnabled is text, "TRUE"',
    "letters": 'country and carrierStatus in other letters, "in" and "active"',
    "roaming_operator": "roaming_operator is spelt right",
    "keys": "all keys of the records in capitals",
    "code": 'the code in small letters, "lkp200"',
    "price_text": 'price is text, "0.500"',
    "price_zero": "price is 0; the account is charged all the same",
    "price_huge": "price is 1000000000000, more than a ledger can hold",
    "price_missing": "no price; the account is charged all the same",
}
DEFAULT_CHANGES = ("is_ported", "country_code", "rcs_enabled", "letters", "roaming_operator")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault and the requests that it meets.

    Which requests: the `at`-th from now (1 is the next), or each with the probability `rate` drawn from
    `seed`, or those that carry `number`; with none of these, the next one. `api` and `endpoint` leave all
    other requests out, of the count too. `times`: how often it strikes at most, from the `at`-th on; by
    default once, with `rate` or `number` always. `bought` overrides the kind's own: with True the account is
    charged, with False it is not. A request that would be refused anyway buys nothing in any case.
    """

    kind: str
    at: int | None = None
    rate: float | None = None
    seed: int = 0
    number: str | None = None
    times: int | None = None
    api: Api | None = None
    endpoint: Endpoint | None = None
    bought: bool | None = None
    status: int | None = None
    retry_after: float | str | datetime | None = None
    seconds: float | None = None
    count: int = 1
    location: str | None = None
    changes: Sequence[str] = DEFAULT_CHANGES

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: {self.kind!r} is none of {', '.join(KINDS)}")
        if self.at is not None and self.rate is not None:
            raise ValueError("at, rate: give one of them")
        if self.at is not None and self.at < 1:
            raise ValueError("at: 1 is the next request")
        if self.rate is not None and not 0 <= self.rate <= 1:
            raise ValueError("rate: must lie between 0 and 1")
        if self.times is not None and self.times < 1:
            raise ValueError("times: must be at least 1")
        if self.number is not None and not E164.fullmatch(self.number):
            raise ValueError("number: must be E.164, with its +")
        if self.status is not None and KINDS[self.kind].status is None:
            raise ValueError(f"status: {self.kind} has none of its own")
        if self.kind == "redirect" and not self.location:
            raise ValueError("location: a redirect needs one")
        if isinstance(self.changes, str) or not set(self.changes) <= CHANGES.keys():
            raise ValueError(f"changes: a list of {', '.join(CHANGES)}")

    @property
    def buys(self) -> bool:
        """Whether the numbers of a request that meets this fault are bought."""
        return KINDS[self.kind].bought if self.bought is None else self.bought

    @property
    def limit(self) -> int | None:
        """How often it strikes at most; None is always."""
        if self.times is None and self.rate is None and (self.number is None or self.at is not None):
            return 1
        return self.times

    def sent_status(self, computed: int) -> int:
        """The status that the client is sent, given the computed answer's; 0 for none."""
        kind = KINDS[self.kind]
        if not kind.sends:
            return 0
        return self.status or kind.status or computed

    def headers(self) -> dict[str, str]:
        """The headers that the fault's options ask for."""
        headers = {} if self.location is None else {"Location": self.location}
        if isinstance(self.retry_after, datetime):
            headers["Retry-After"] = format_datetime(self.retry_after, usegmt=True)
        elif self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return headers


class _Armed:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.struck = 0
        # Seeded on purpose: the same seed gives the same faults.
        self.random = random.Random(fault.seed)  # noqa: S311

    def meets(self, api: Api, endpoint: Endpoint, numbers: Sequence[str]) -> bool:
        fault = self.fault
        if (fault.api or api) != api or (fault.endpoint or endpoint) != endpoint:
            return False
        if fault.number is not None and fault.number not in numbers:
            return False
        self.seen += 1
        drawn = fault.rate is None or self.random.random() < fault.rate
        return drawn and self.seen >= (fault.at or 1) and not self.spent

    @property
    def spent(self) -> bool:
        return self.fault.limit is not None and self.struck >= self.fault.limit


class Faults:
    """The faults in wait. A request meets at most one: of several that would strike, the first added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []

    def add(self, *faults: Fault) -> None:
        """Lie in wait from the next request on."""
        with self._lock:
            self._armed += [_Armed(fault) for fault in faults]

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._armed = []

    def pick(self, api: Api, endpoint: Endpoint, numbers: Sequence[str]) -> Fault | None:
        """The fault that this request meets; every call counts as one request."""
        if not self._armed:
            return None
        with self._lock:
            # All of them see the request, so that each counts its own way to `at`.
            due = [armed for armed in self._armed if armed.meets(api, endpoint, numbers)]
            if not due:
                return None
            due[0].struck += 1
            if due[0].spent:
                self._armed.remove(due[0])
            return due[0].fault
