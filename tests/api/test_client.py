"""The client against a whole service: what it sends, what it makes of the answers."""

from __future__ import annotations

import itertools
import json
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest
import requests_mock as mocking
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_kaleyra import errors
from airflow_provider_kaleyra.api.client import KaleyraClient
from airflow_provider_kaleyra.api.config import ClientConfig
from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from tests.api.conftest import most_in_a_second
from tests.api.listener import Listener, http
from tests.support.numbers import numbers

ONE, TWO, THREE, *_ = TEN = numbers(10)
NOBODYS = next(number for number in numbers(500, assigned=None) if not subscriber(number).assigned)
Connect = Callable[..., KaleyraClient]


def sent(sandbox: Sandbox) -> list[tuple[str, int]]:
    """Give the endpoint and the count of numbers of each request."""
    return [(request.endpoint, len(request.numbers)) for request in sandbox.account.requests]


@pytest.mark.parametrize(
    ("count", "requests"),
    [
        (99, {("single", 1): 99}),
        (100, {("bulk", 100): 1}),
        (501, {("bulk", 251): 1, ("bulk", 250): 1}),
        (601, {("bulk", 301): 1, ("bulk", 300): 1}),
    ],
)
def test_devices_are_asked_in_balanced_bulks_and_few_of_them_singly(
    client: KaleyraClient, sandbox: Sandbox, count: int, requests: dict[tuple[str, int], int]
) -> None:
    asked = numbers(count)
    lookups = list(client.lookup_devices(asked))

    assert Counter(sent(sandbox)) == requests
    assert sorted(lookup.phone_number for lookup in lookups) == sorted(asked)
    assert {lookup.status for lookup in lookups} == {"ok"}
    assert sandbox.account.purchases["rcs"] == Counter(asked)


@pytest.mark.parametrize("shape", ["list", "object"])
@pytest.mark.parametrize("count", [3, 100])
def test_each_device_gets_its_own_answer_whatever_the_shape(
    connect: Connect, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, shape: str, count: int
) -> None:
    monkeypatch.setattr(sandbox.settings, "bulk_shape", shape)
    for lookup in connect().lookup_devices(numbers(count)):
        person = subscriber(lookup.phone_number)
        assert lookup.rcs_enabled is person.rcs_enabled
        assert (lookup.carrier_id, lookup.carrier_status) == (person.current.brand, person.carrier_status)


def test_a_device_that_a_bulk_leaves_out_is_asked_singly(client: KaleyraClient, sandbox: Sandbox) -> None:
    asked = numbers(100)
    sandbox.fault("missing", count=2, endpoint="bulk")
    lookups = list(client.lookup_devices(asked))

    assert sent(sandbox) == [("bulk", 100), ("single", 1), ("single", 1)]
    assert [request.numbers[0] for request in sandbox.account.requests[1:]] == asked[:2]
    assert sorted(lookup.phone_number for lookup in lookups) == sorted(asked)
    assert {lookup.status for lookup in lookups} == {"ok"}


def test_a_device_that_the_service_takes_for_none_is_invalid(client: KaleyraClient, sandbox: Sandbox) -> None:
    lookups = {lookup.phone_number: lookup for lookup in client.lookup_devices([*numbers(99), NOBODYS])}

    assert sent(sandbox) == [("bulk", 100), ("single", 1)]
    assert (lookups[NOBODYS].status, lookups[NOBODYS].reason) == ("invalid", "refused_by_service")
    assert lookups[NOBODYS].response_code == "RCS704"
    assert lookups[ONE].status == "ok"


def test_a_device_asked_about_twice_was_bought_twice_unless_it_is_none(
    client: KaleyraClient, sandbox: Sandbox
) -> None:
    sandbox.fault("missing", number=ONE, endpoint="bulk")
    lookups = {lookup.phone_number: lookup for lookup in client.lookup_devices([*numbers(99), NOBODYS])}

    assert {number: lookups[number].purchases for number in (ONE, TWO, NOBODYS)} == {
        ONE: 2,
        TWO: 1,
        NOBODYS: 0,
    }
    assert {number: lookup.purchases for number, lookup in lookups.items() if lookup.purchases} == (
        sandbox.account.purchases["rcs"]
    )


def test_numbers_are_asked_in_balanced_batches(client: KaleyraClient, sandbox: Sandbox) -> None:
    asked = numbers(250)
    lookups = list(client.lookup_numbers(asked))

    assert Counter(sent(sandbox)) == {("get", 84): 1, ("get", 83): 2}
    assert sandbox.account.purchases["number"] == Counter(asked)
    assert sum(lookup.price or 0 for lookup in lookups) == sandbox.account.charged == Decimal("1.25")


def test_each_number_gets_its_own_answer(client: KaleyraClient) -> None:
    for lookup in client.lookup_numbers(numbers(50)):
        person = subscriber(lookup.phone_number)
        assert (lookup.country, lookup.country_code) == (person.country, person.country_code)
        assert (lookup.current_mcc, lookup.current_mnc) == (person.current.mcc, person.current.mnc)
        assert lookup.original_operator == person.original.name
        assert lookup.roaming_operator == (person.roaming.name if person.roaming else None)
        assert lookup.is_ported is person.is_ported


def test_batch_size_is_the_most_numbers_of_a_request(client: KaleyraClient, sandbox: Sandbox) -> None:
    list(client.lookup_numbers(TEN, batch_size=4))
    assert Counter(sent(sandbox)) == {("get", 4): 1, ("get", 3): 2}


def test_a_number_that_the_service_counts_as_invalid_is_invalid(client: KaleyraClient) -> None:
    lookups = {lookup.phone_number: lookup for lookup in client.lookup_numbers([ONE, NOBODYS])}

    assert (lookups[NOBODYS].status, lookups[NOBODYS].reason) == ("invalid", "refused_by_service")
    assert lookups[ONE].price == Decimal("0.005")


@pytest.mark.parametrize("counted", [1, 3])
def test_a_count_of_invalid_numbers_that_is_not_that_of_the_left_out_makes_none_invalid(
    cloud: KaleyraClient, mocked: mocking.Mocker, counted: int
) -> None:
    known_one = {"mobile_number": ONE[1:], "country": "US"}
    mocked.get(mocking.ANY, json={"code": "LKP200", "invalid_count": counted, "data": [known_one]})
    lookups = {lookup.phone_number: lookup for lookup in cloud.lookup_numbers([ONE, TWO, THREE])}

    assert lookups[ONE].status == "ok"
    for number in (TWO, THREE):
        assert (lookups[number].status, lookups[number].reason) == ("failed", "missing_from_answer")
        assert lookups[number].may_have_cost


def test_a_number_that_a_batch_leaves_out_is_failed_and_may_have_cost(
    client: KaleyraClient, sandbox: Sandbox
) -> None:
    sandbox.fault("missing", number=TWO)
    lookups = {lookup.phone_number: lookup for lookup in client.lookup_numbers(TEN)}

    assert (lookups[TWO].status, lookups[TWO].reason) == ("failed", "missing_from_answer")
    assert lookups[TWO].may_have_cost
    assert {lookup.status for number, lookup in lookups.items() if number != TWO} == {"ok"}
    assert len(sandbox.account.requests) == 1


@pytest.mark.parametrize("left_out", [1, 3])
def test_the_shares_of_a_price_add_up_also_when_numbers_are_left_out(
    client: KaleyraClient, sandbox: Sandbox, left_out: int
) -> None:
    sandbox.fault("missing", count=left_out)
    answer = client.ask_numbers(TEN[:3])

    assert sum(lookup.price or 0 for lookup in answer.lookups) == answer.price == sandbox.account.charged


@pytest.mark.parametrize("lookup", [KaleyraClient.lookup_numbers, KaleyraClient.lookup_devices])
@pytest.mark.parametrize("text", [f"{TWO},{THREE}", TWO[1:], "9812345678", f"{TWO}/x", ""])
def test_what_is_not_e164_is_never_sent(
    client: KaleyraClient, sandbox: Sandbox, lookup: Callable[..., Iterator[Any]], text: str
) -> None:
    lookups = {found.phone_number: found for found in lookup(client, [ONE, text])}

    assert (lookups[text].status, lookups[text].reason) == ("invalid", "not_e164")
    assert not lookups[text].may_have_cost
    assert lookups[ONE].status == "ok"
    assert [request.numbers for request in sandbox.account.requests] == [(ONE,)]


def test_a_comma_cannot_smuggle_a_number_into_a_bulk(client: KaleyraClient, sandbox: Sandbox) -> None:
    asked = numbers(101)
    joined = ",".join(asked[99:])
    lookups = list(client.lookup_devices([*asked[:99], joined]))

    assert Counter(lookup.reason for lookup in lookups) == {None: 99, "not_e164": 1}
    assert sandbox.account.purchases["rcs"] == Counter(asked[:99])


def test_a_single_device_that_is_no_number_is_an_error(client: KaleyraClient, sandbox: Sandbox) -> None:
    with pytest.raises(errors.InvalidNumberError) as caught:
        client.lookup_device(NOBODYS)
    assert caught.value.code == "RCS704"
    with pytest.raises(errors.NotE164Error):
        client.lookup_device("2025550101")
    assert len(sandbox.account.requests) == 1


@pytest.mark.parametrize("setting", [{"batch_size": 0}, {"batch_size": 501}, {"max_workers": 0}])
@pytest.mark.parametrize("lookup", [KaleyraClient.lookup_numbers, KaleyraClient.lookup_devices])
def test_a_setting_that_cannot_be_meant_is_refused_at_once(
    client: KaleyraClient, lookup: Callable[..., Iterator[Any]], setting: dict[str, int]
) -> None:
    with pytest.raises(errors.ConfigurationError, match=next(iter(setting))):
        lookup(client, [ONE], **setting)


def refuse(number: str) -> dict[str, Any]:
    """What a mocked service answers that refuses a request for one of its numbers."""
    return {"code": "LKP412", "message": f"{number} is not welcome", "error": {"error_code": "BAD"}}


def answer_numbers(*culprits: str) -> Callable[..., dict[str, Any]]:
    """A service that refuses whole requests for one bad number in them, which the sandbox does not."""

    def answer(request: Any, context: Any) -> dict[str, Any]:
        asked = request.path.rpartition("/")[2].split(",")
        if bad := [number for number in asked if f"+{number}" in culprits]:
            context.status_code = 400
            return refuse(bad[0])
        records = [{"mobile_number": number, "country": "US"} for number in asked]
        return {"code": "LKP200", "price": 0.01 * len(asked), "data": records}

    return answer


@pytest.fixture
def mocked(requests_mock: mocking.Mocker) -> mocking.Mocker:
    return requests_mock


def at(url: str) -> KaleyraClient:
    return KaleyraClient(ClientConfig.parse(login="HXAP1600000000IN", password="Ac4QrStUvWx21f", host=url))


@pytest.fixture
def cloud() -> KaleyraClient:
    """A client of Kaleyra itself, for answers that only a mock gives."""
    return KaleyraClient(ClientConfig.parse(login="HXAP1600000000IN", password="Ac4QrStUvWx21f"))


def test_of_a_refused_batch_only_the_culprit_is_blamed(cloud: KaleyraClient, mocked: mocking.Mocker) -> None:
    mocked.get(mocking.ANY, json=answer_numbers(TWO))
    lookups = {lookup.phone_number: lookup for lookup in cloud.lookup_numbers(TEN)}

    assert (lookups[TWO].status, lookups[TWO].reason) == ("failed", "bad_request")
    assert lookups[TWO].response_code == "LKP412"
    assert TWO not in str(lookups[TWO].error_message)
    assert {lookup.status for number, lookup in lookups.items() if number != TWO} == {"ok"}
    assert mocked.call_count == 7


def test_a_refused_number_is_told_of_in_the_services_words_without_itself(
    cloud: KaleyraClient, mocked: mocking.Mocker
) -> None:
    mocked.get(mocking.ANY, json=answer_numbers(TWO))
    (lookup,) = cloud.lookup_numbers([TWO])

    assert "is not welcome" in str(lookup.error_message)
    assert TWO[1:] not in str(lookup.error_message)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.sampled_from(TEN)))
def test_halving_a_refused_batch_asks_about_each_good_number_once(culprits: set[str]) -> None:
    client = KaleyraClient(ClientConfig.parse(login="HXAP1600000000IN", password="Ac4QrStUvWx21f"))
    with mocking.Mocker() as mocked:
        mocked.get(mocking.ANY, json=answer_numbers(*culprits))
        answer = client.ask_numbers(TEN)

    outcomes = {lookup.phone_number: lookup.status for lookup in answer.lookups}
    assert outcomes == {number: "failed" if number in culprits else "ok" for number in TEN}
    assert sum(lookup.price or 0 for lookup in answer.lookups) == (answer.price or 0)


@pytest.mark.parametrize("answered", [0, 2])
def test_a_key_that_dies_while_a_refused_batch_is_halved_loses_no_answer_and_stops_the_rest(
    cloud: KaleyraClient, mocked: mocking.Mocker, answered: int
) -> None:
    refused = {"status_code": 400, "json": refuse(ONE)}
    first_half = {"json": {"code": "LKP200", "data": [{"mobile_number": n[1:]} for n in TEN[:2]]}}
    dead_key = {"status_code": 401, "json": {"code": "LKP401", "message": "no such key"}}
    mocked.get(mocking.ANY, [refused, first_half, dead_key] if answered else [refused, dead_key])
    lookups = cloud.lookup_numbers(TEN[:4])

    assert [found.phone_number for found in islice(lookups, answered)] == TEN[:answered]
    with pytest.raises(errors.AuthenticationError):
        next(lookups)
    assert mocked.call_count == (3 if answered else 2)


def test_of_a_refused_bulk_only_the_culprit_is_blamed(cloud: KaleyraClient, mocked: mocking.Mocker) -> None:
    asked = numbers(200)
    bought: Counter[str] = Counter()

    def bulk(request: Any, context: Any) -> dict[str, Any]:
        addresses = request.json()["deviceAddresses"]
        if ONE in addresses:
            context.status_code = 400
            return {"code": "RCS904", "message": "no", "error": {"error_code": "BAD"}}
        bought.update(addresses)
        return {"code": "RCS702", "data": [{"deviceAddress": number} for number in addresses]}

    def single(request: Any, context: Any) -> dict[str, Any]:
        number = "+" + request.path.rpartition("%2b")[2]
        if number == ONE:
            context.status_code = 400
            return {"code": "RCS904", "message": "no", "error": {"error_code": "BAD"}}
        bought[number] += 1
        return {"code": "RCS702", "data": {"deviceAddress": number}}

    mocked.post(mocking.ANY, json=bulk)
    mocked.get(mocking.ANY, json=single)
    lookups = list(cloud.lookup_devices(asked))

    assert [lookup.phone_number for lookup in lookups if lookup.status != "ok"] == [ONE]
    assert bought == Counter(asked[1:])


def test_a_wrong_key_fails_at_once_and_blames_no_number(sandbox: Sandbox) -> None:
    config = ClientConfig.parse(
        login=sandbox.sid, password="wr0ng-key-0", host=sandbox.url, extra={"rcs_host": sandbox.url}
    )
    for lookups in (
        KaleyraClient(config).lookup_numbers(TEN, batch_size=1, max_workers=1),
        KaleyraClient(config).lookup_devices(TEN, max_workers=1),
    ):
        with pytest.raises(errors.AuthenticationError, match="login and password"):
            next(lookups)
    assert len(sandbox.account.requests) == 2


def test_a_wrong_account_fails_at_once(sandbox: Sandbox) -> None:
    config = ClientConfig.parse(login="HXOTHER", password=sandbox.api_key, host=sandbox.url)
    with pytest.raises(errors.AuthenticationError):
        next(KaleyraClient(config).lookup_numbers(TEN))


@pytest.mark.parametrize("count", [1, 100])
def test_a_channel_that_is_off_stops_device_lookups_and_no_others(
    client: KaleyraClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(sandbox.settings, "rcs_enabled", False)

    with pytest.raises(errors.RcsChannelDisabledError, match="representative"):
        next(client.lookup_devices(numbers(count), max_workers=1))
    assert len(sandbox.account.requests) == 1
    assert next(client.lookup_numbers([ONE])).status == "ok"


@pytest.mark.parametrize("status", [400, 401])
def test_a_channel_that_goes_off_after_a_bulk_loses_no_answer(
    cloud: KaleyraClient, mocked: mocking.Mocker, status: int
) -> None:
    asked = numbers(103)
    told = [{"deviceAddress": number} for number in asked[:100]]
    off = {"code": "RCS601", "message": "off", "data": [], "error": {"error_code": "RCS_CHANNEL_DISABLED"}}
    mocked.post(mocking.ANY, json={"code": "RCS702", "data": told, "error": {}})
    last = {"code": "RCS702", "data": {"deviceAddress": asked[100]}}
    single = mocked.get(mocking.ANY, [{"json": last}, {"json": off, "status_code": status}])
    lookups = cloud.lookup_devices(asked)

    given = list(islice(lookups, 103))
    assert [found.phone_number for found in given] == asked
    assert [(found.status, found.reason) for found in given[101:]] == [("failed", "missing_from_answer")] * 2
    assert {found.purchases for found in given[101:]} == {1}
    with pytest.raises(errors.RcsChannelDisabledError):
        next(lookups)
    assert single.call_count == 2


def test_a_key_that_dies_on_the_way_loses_no_answer_and_stops_the_rest(
    client: KaleyraClient, sandbox: Sandbox
) -> None:
    sandbox.fault("json_error", at=2, times=9, status=401)
    lookups = client.lookup_numbers(TEN, batch_size=2, max_workers=1)
    given = [next(lookups), next(lookups)]

    with pytest.raises(errors.AuthenticationError):
        next(lookups)
    assert {lookup.status for lookup in given} == {"ok"}
    first, *others = (request.status for request in sandbox.account.requests)
    assert (first, set(others)) == (200, {401})
    # What was in flight, and what was handed over meanwhile.
    assert len(others) <= 2


def asked_for(head: bytes) -> str:
    """Give the one number of a GET API Lookup."""
    return "+" + head.split(b" ")[1].decode().rpartition("/")[2]


def known(number: str) -> bytes:
    return http(json.dumps({"code": "LKP200", "data": [{"mobile_number": number}]}).encode())


def test_answers_in_flight_are_given_before_a_dead_key_is_told_of() -> None:
    all_asked, refused = threading.Barrier(3), threading.Event()

    def answer(connection: socket.socket, head: bytes) -> None:
        all_asked.wait(5)
        if asked_for(head) == ONE:
            connection.sendall(http(b'{"code": "LKP401", "message": "no such key"}', "401 Unauthorized"))
            assert connection.recv(1) == b""  # it is read, and the connection closed
            refused.set()
        else:
            assert refused.wait(5)
            connection.sendall(known(asked_for(head)))

    with Listener(answer) as service:
        lookups = at(service.url).lookup_numbers(TEN[:3], batch_size=1, max_workers=3)

        assert {found.phone_number for found in islice(lookups, 2)} == {TWO, THREE}
        with pytest.raises(errors.AuthenticationError):
            next(lookups)


def test_no_credit_stops_everything_in_kaleyras_words(cloud: KaleyraClient, mocked: mocking.Mocker) -> None:
    mocked.get(mocking.ANY, status_code=402, json={"code": "LKP488", "message": "Balance exhausted"})

    with pytest.raises(errors.SetupError, match=r"credit.*HTTP 402, LKP488, “Balance exhausted”"):
        next(cloud.lookup_numbers(TEN, batch_size=1, max_workers=1))
    assert mocked.call_count == 1


def test_an_answer_wrapped_as_that_of_the_post_is_read(cloud: KaleyraClient, mocked: mocking.Mocker) -> None:
    body = {"data": {"code": "LKP200", "data": [{"mobile_number": ONE[1:], "country": "US"}]}}
    mocked.get(mocking.ANY, json=body)

    assert next(cloud.lookup_numbers([ONE])).country == "US"


def test_an_answer_that_we_fail_to_read_leaves_its_numbers_in_doubt(
    client: KaleyraClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(f"about {ONE}")

    monkeypatch.setattr("airflow_provider_kaleyra.api.wire.parse_numbers", fail)
    lookups = list(client.lookup_numbers(TEN))

    assert {(found.status, found.reason) for found in lookups} == {("in_doubt", "unreadable_answer")}
    assert sorted(found.phone_number for found in lookups) == TEN
    assert not any(ONE[1:] in str(found.error_message) for found in lookups)
    assert len(sandbox.account.requests) == 1


def test_a_url_too_long_for_a_gateway_is_asked_in_halves(
    cloud: KaleyraClient, mocked: mocking.Mocker
) -> None:
    def answer(request: Any, context: Any) -> str:
        if request.path.count(",") > 3:
            context.status_code = 414
            return "<html>414 Request-URI Too Large</html>"
        return json.dumps(answer_numbers()(request, context))

    mocked.get(mocking.ANY, text=answer)
    lookups = list(cloud.lookup_numbers(TEN))

    assert {lookup.status for lookup in lookups} == {"ok"}
    assert len(lookups) == 10


@pytest.mark.parametrize("break_after", [1, 3])
def test_who_stops_listening_buys_nothing_more(
    client: KaleyraClient, sandbox: Sandbox, break_after: int
) -> None:
    lookups = client.lookup_numbers(TEN, batch_size=1, max_workers=2)
    for _ in range(break_after):
        next(lookups)
    lookups.close()
    sent_by_then = len(sandbox.account.requests)

    assert sent_by_then <= break_after + 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kaleyra_")]


def test_max_workers_requests_are_in_flight_and_no_more() -> None:
    four = threading.Barrier(4)
    in_flight: set[str] = set()
    most = 0

    def answer(connection: socket.socket, head: bytes) -> None:
        nonlocal most
        in_flight.add(asked_for(head))
        four.wait(5)  # for three others
        most = max(most, len(in_flight))
        four.wait(5)
        in_flight.discard(asked_for(head))
        connection.sendall(known(asked_for(head)))

    with Listener(answer) as service:
        lookups = list(at(service.url).lookup_numbers(numbers(8), batch_size=1, max_workers=4))

    assert {lookup.status for lookup in lookups} == {"ok"}
    assert most == 4


def test_requests_per_second_holds_over_all_threads(connect: Connect, sandbox: Sandbox) -> None:
    began = time.time()
    list(connect(requests_per_second=25).lookup_numbers(TEN[:6], batch_size=1, max_workers=6))
    arrivals = sorted(request.at - began for request in sandbox.account.requests)

    assert len(arrivals) == 6
    assert all(moment > slot * 0.04 - 0.005 for slot, moment in enumerate(arrivals))


def test_a_service_asked_at_its_own_ceiling_hardly_ever_refuses(
    connect: Connect, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.settings, "requests_per_second", 50)
    lookups = connect(requests_per_second=50).lookup_devices(numbers(150), batch_size=1, max_workers=16)

    assert Counter(lookup.status for lookup in lookups) == {"ok": 150}
    # None on a machine that is not busy; without the ceiling it is one in four.
    assert Counter(request.status for request in sandbox.account.requests)[429] <= 15


@pytest.mark.parametrize("burst", [1, 10])
def test_requests_per_second_holds_over_any_second_of_their_arrivals(
    connect: Connect, sandbox: Sandbox, burst: int
) -> None:
    client = connect(requests_per_second=20, burst=burst)
    list(client.lookup_devices(numbers(50), batch_size=1, max_workers=16))
    arrivals = [request.at for request in sandbox.account.requests]

    assert len(arrivals) == 50
    # On a busy machine one request is longer on its way than another.
    assert most_in_a_second(arrivals) <= 24


def test_a_refusal_is_logged_once_for_all_who_meet_it(caplog: pytest.LogCaptureFixture) -> None:
    all_asked, asked = threading.Barrier(3), itertools.count()

    def answer(connection: socket.socket, head: bytes) -> None:
        if next(asked) < 3:
            all_asked.wait(5)
            connection.sendall(http(b'{"code": "LKP429"}', "429 Too Many Requests", Retry_After="1"))
        else:
            connection.sendall(known(asked_for(head)))

    with Listener(answer) as service, caplog.at_level(logging.INFO):
        lookups = list(at(service.url).lookup_numbers(TEN[:3], batch_size=1, max_workers=3))

    assert {lookup.status for lookup in lookups} == {"ok"}
    assert len([record for record in caplog.records if "Attempt 1 failed" in record.getMessage()]) == 1


def test_a_client_counts_the_requests_that_left(client: KaleyraClient, sandbox: Sandbox) -> None:
    list(client.lookup_numbers(TEN, batch_size=5))
    assert client.requests_sent == 2
    with sandbox.refusing():
        list(client.lookup_numbers(TEN))
    assert client.requests_sent == 2


def test_a_stopped_client_sends_nothing_more(client: KaleyraClient, sandbox: Sandbox) -> None:
    client.stop()
    lookups = list(client.lookup_numbers(TEN))

    assert {(lookup.status, lookup.reason) for lookup in lookups} == {("failed", "nothing_sent")}
    assert sandbox.account.requests == []
