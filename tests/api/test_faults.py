"""Each fault on the way ends in its outcome for exactly the numbers concerned."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_kaleyra.api import retry
from airflow_provider_kaleyra.api.client import KaleyraClient
from airflow_provider_kaleyra.api.retry import ATTEMPTS, wait_before_retry
from airflow_provider_kaleyra.errors import KaleyraError, NothingSentError, RateLimitedError, ServiceError
from airflow_provider_kaleyra.sandbox import KINDS, Sandbox
from tests.support.numbers import numbers

SIX = numbers(6)
FIRST, REST = SIX[:3], SIX[3:]
Connect = Callable[..., KaleyraClient]
Outcome = tuple[str, str | None]

OK: Outcome = ("ok", None)
LOST: Outcome = ("in_doubt", "no_answer")
UNREADABLE: Outcome = ("in_doubt", "unreadable_answer")
BROKEN: Outcome = ("failed", "service_error")
LIMITED: Outcome = ("failed", "rate_limited")

# Kind and options; what becomes of the first batch; how many requests it took.
FAULTS: list[tuple[str, dict[str, Any], Outcome, int]] = [
    ("refuse", {}, LOST, 1),
    ("reset", {}, LOST, 1),
    ("reset_mid_body", {}, LOST, 1),
    ("hang", {}, LOST, 1),
    ("drip", {}, LOST, 1),
    ("html_error", {"status": 502}, UNREADABLE, 1),
    ("html_error", {"status": 503}, UNREADABLE, 1),
    ("html_error", {"status": 502, "retry_after": 0}, UNREADABLE, 1),
    ("truncated", {}, UNREADABLE, 1),
    ("wrong_json", {}, UNREADABLE, 1),
    ("empty", {}, UNREADABLE, 1),
    ("redirect", {"location": "http://127.0.0.1:9/"}, UNREADABLE, 1),
    ("redirect", {"location": "http://["}, UNREADABLE, 1),
    ("429", {}, OK, 2),
    ("429", {"retry_after": 0}, OK, 2),
    ("429", {"retry_after": "soon"}, OK, 2),
    ("429", {"times": 100}, LIMITED, ATTEMPTS[RateLimitedError]),
    ("json_error", {"status": 500}, OK, 2),
    ("json_error", {"status": 503, "retry_after": 0}, OK, 2),
    ("json_error", {"status": 502, "times": 100}, BROKEN, ATTEMPTS[ServiceError]),
    ("json_error", {"status": 408, "bought": True}, LOST, 1),
    ("json_error", {"status": 504, "bought": True}, LOST, 1),
    ("json_error", {"status": 409}, BROKEN, 1),
    ("prov_error", {}, OK, 2),
    ("prov_error", {"status": 400}, OK, 2),
    ("prov_error", {"times": 100}, BROKEN, ATTEMPTS[ServiceError]),
    ("missing", {"count": 3, "number": None, "at": 1}, ("failed", "missing_from_answer"), 1),
    ("extra", {"count": 2}, OK, 1),
    ("reordered", {}, OK, 1),
    ("repeated", {"count": 3}, OK, 1),
    ("other_case", {}, OK, 1),
    ("other_case", {"changes": ["keys", "code", "price_text"]}, OK, 1),
    ("other_case", {"changes": ["price_missing"]}, OK, 1),
    ("other_case", {"changes": ["price_huge"]}, OK, 1),
]


def test_every_fault_of_the_sandbox_is_tried() -> None:
    # Those of a question by id have their tests with the lookups that answer later.
    assert {kind for kind, *_ in FAULTS} == set(KINDS) - {"pending", "not_found", "gone"}


@pytest.mark.parametrize(("kind", "options", "outcome", "requests"), FAULTS)
def test_a_fault_ends_in_its_outcome_for_its_batch_and_the_next_goes_on(
    connect: Connect,
    sandbox: Sandbox,
    kind: str,
    options: dict[str, Any],
    outcome: Outcome,
    requests: int,
) -> None:
    sandbox.fault(kind, **{"number": FIRST[0], "times": 1, **options})
    client = connect(timeout=0.3 if kind in ("hang", "drip") else 60)
    lookups = list(client.lookup_numbers(SIX, batch_size=3, max_workers=1))

    outcomes = {lookup.phone_number: (lookup.status, lookup.reason) for lookup in lookups}
    assert outcomes == dict.fromkeys(FIRST, outcome) | dict.fromkeys(REST, OK)
    assert len(lookups) == len(SIX)
    assert len(sandbox.account.requests) == requests + 1
    assert sandbox.account.purchases["number"].keys() <= {
        lookup.phone_number for lookup in lookups if lookup.may_have_cost
    }
    assert max(sandbox.account.purchases["number"].values()) == 1


@pytest.mark.parametrize(("kind", "options", "outcome", "requests"), FAULTS)
def test_a_fault_of_a_single_device_lookup_concerns_this_device_alone(
    connect: Connect,
    sandbox: Sandbox,
    kind: str,
    options: dict[str, Any],
    outcome: Outcome,
    requests: int,
) -> None:
    sandbox.fault(kind, **{"number": SIX[0], "times": 1, **options})
    client = connect(timeout=0.3 if kind in ("hang", "drip") else 60)
    lookups = list(client.lookup_devices(SIX, max_workers=1))

    outcomes = {lookup.phone_number: (lookup.status, lookup.reason) for lookup in lookups}
    assert outcomes == {SIX[0]: outcome} | dict.fromkeys(SIX[1:], OK)
    assert len(sandbox.account.requests) == requests + 5
    assert max(sandbox.account.purchases["rcs"].values()) == 1


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [("reset", LOST), ("html_error", UNREADABLE), ("wrong_json", UNREADABLE), ("prov_error", BROKEN)],
)
@pytest.mark.parametrize("shape", ["list", "object"])
def test_a_lost_bulk_is_not_asked_again_singly(
    client: KaleyraClient,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    outcome: Outcome,
    shape: str,
) -> None:
    monkeypatch.setattr(sandbox.settings, "bulk_shape", shape)
    sandbox.fault(kind, at=1, times=3 if outcome == BROKEN else 1)
    lookups = list(client.lookup_devices(numbers(100)))

    assert Counter((lookup.status, lookup.reason) for lookup in lookups) == {outcome: 100}
    assert {request.endpoint for request in sandbox.account.requests} == {"bulk"}


@pytest.mark.parametrize("kind", ["extra", "reordered", "repeated", "other_case"])
@pytest.mark.parametrize("shape", ["list", "object"])
def test_an_untidy_bulk_gives_each_device_its_own_answer(
    client: KaleyraClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, kind: str, shape: str
) -> None:
    asked = numbers(100)
    tidy = {lookup.phone_number: lookup.rcs_enabled for lookup in client.lookup_devices(asked)}
    monkeypatch.setattr(sandbox.settings, "bulk_shape", shape)
    sandbox.fault(kind, count=3)
    lookups = list(client.lookup_devices(asked))

    assert {lookup.phone_number: lookup.rcs_enabled for lookup in lookups} == tidy
    assert len(lookups) == 100


def test_an_answer_counts_what_it_ignored(client: KaleyraClient, sandbox: Sandbox) -> None:
    sandbox.fault("extra", count=2)
    assert client.ask_numbers(SIX).ignored == 2
    sandbox.fault("repeated", count=3)
    assert client.ask_numbers(SIX).ignored == 3


def test_nothing_sent_is_tried_again_until_it_is(
    client: KaleyraClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = threading.Event()

    def wait(error: KaleyraError, *args: Any, **kwargs: Any) -> float | None:
        refused.set()
        return wait_before_retry(error, *args, **kwargs)

    monkeypatch.setattr(retry, "FIRST_WAIT", 0.2)
    monkeypatch.setattr("airflow_provider_kaleyra.api.client.wait_before_retry", wait)
    with ThreadPoolExecutor(1) as pool:
        with sandbox.refusing():
            lookups = pool.submit(list, client.lookup_numbers(SIX))
            assert refused.wait(5)

        assert {lookup.status for lookup in lookups.result()} == {"ok"}
    assert len(sandbox.account.requests) == 1
    assert sandbox.account.purchases["number"] == Counter(SIX)


def test_nothing_sent_ends_as_failed_and_was_not_bought(client: KaleyraClient, sandbox: Sandbox) -> None:
    with sandbox.refusing():
        lookups = list(client.lookup_numbers(SIX))

    assert {(lookup.status, lookup.reason) for lookup in lookups} == {("failed", "nothing_sent")}
    assert not any(lookup.may_have_cost for lookup in lookups)
    assert client.requests_sent == 0
    with sandbox.refusing(), pytest.raises(NothingSentError):
        client.lookup_device(SIX[0])


def test_a_failed_service_is_left_alone_for_a_while(
    client: KaleyraClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.4)
    sandbox.fault("json_error", status=500)
    lookups = list(client.lookup_numbers(SIX))
    failed, answered = (request.at for request in sandbox.account.requests)

    assert {lookup.status for lookup in lookups} == {"ok"}
    assert answered - failed >= 0.19


@pytest.mark.parametrize("told", ["seconds", "date"])
def test_429_is_waited_out_as_told(client: KaleyraClient, sandbox: Sandbox, told: str) -> None:
    again = datetime.now(UTC) + timedelta(seconds=1.3)
    sandbox.fault("429", retry_after=1 if told == "seconds" else again)
    lookups = list(client.lookup_numbers(SIX))
    refused, answered = (request.at for request in sandbox.account.requests)

    assert {lookup.status for lookup in lookups} == {"ok"}
    assert told == "date" or answered - refused >= 0.95
    assert told == "seconds" or answered >= int(again.timestamp()) - 0.05


def test_429_holds_up_all_workers(
    client: KaleyraClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.fault("429", number=SIX[0], times=1, retry_after=1)
    monkeypatch.setattr(sandbox.settings, "latency_ms", 100)
    list(client.lookup_numbers(SIX, batch_size=1, max_workers=2))
    requests = sandbox.account.requests
    refused = next(request.at for request in requests if request.status == 429)

    # The other worker's, and the one that may leave while the refusal is read.
    assert len([request for request in requests if 0 < request.at - refused < 0.95]) <= 2
    assert len(requests) == 7
    assert sandbox.account.purchases["number"] == Counter(SIX)


def test_a_rate_limited_service_is_kept_to(client: KaleyraClient, sandbox: Sandbox) -> None:
    asked = numbers(9)
    sandbox.settings.requests_per_second = 6
    try:
        lookups = list(client.lookup_numbers(asked, batch_size=1, max_workers=9))
    finally:
        sandbox.settings.requests_per_second = None

    assert {lookup.status for lookup in lookups} == {"ok"}
    assert sandbox.account.purchases["number"] == Counter(asked)


@pytest.mark.parametrize("kind", ["hang", "drip"])
def test_timeout_bounds_the_whole_answer(connect: Connect, sandbox: Sandbox, kind: str) -> None:
    sandbox.fault(kind)
    began = time.monotonic()
    lookups = list(connect(timeout=0.3).lookup_numbers(FIRST))

    assert 0.3 <= time.monotonic() - began < 2
    assert {(lookup.status, lookup.reason) for lookup in lookups} == {LOST}


def test_a_slow_answer_within_timeout_is_an_answer(connect: Connect, sandbox: Sandbox) -> None:
    sandbox.settings.latency_ms = 200
    try:
        lookups = list(connect(timeout=5).lookup_numbers(FIRST))
    finally:
        sandbox.settings.latency_ms = 0

    assert {lookup.status for lookup in lookups} == {"ok"}
