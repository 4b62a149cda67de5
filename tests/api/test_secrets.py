"""The key goes to Kaleyra and nowhere else, and numbers are people: what may be seen of them."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import requests_mock as mocking

from airflow_provider_kaleyra import errors
from airflow_provider_kaleyra.api import wire
from airflow_provider_kaleyra.api.client import KaleyraClient
from airflow_provider_kaleyra.api.config import ClientConfig
from airflow_provider_kaleyra.sandbox import KINDS, Sandbox
from tests.api.listener import Listener
from tests.support.numbers import numbers

SIX = numbers(6)
HUNDRED = numbers(100)
KEY = "Ac4QrStUvWx21f"
Connect = Callable[..., KaleyraClient]


def shows(text: str, secrets: list[str]) -> list[str]:
    digits = {secret: secret.removeprefix("+") for secret in secrets}
    return [secret for secret, plain in digits.items() if plain in text]


def everything(record: logging.LogRecord) -> str:
    """All that a formatter could make of a record."""
    formatted = logging.Formatter("%(name)s %(message)s").format(record)
    return f"{formatted} {record.msg!r} {record.args!r} {record.exc_text}"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.DEBUG)
    return lambda: [everything(record) for record in caplog.records]


OPTIONS: dict[str, dict[str, Any]] = {
    "redirect": {"location": f"http://127.0.0.1:9/v1/x/lookup/{SIX[0][1:]}"},
    "429": {"retry_after": 0},
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_log_record_of_any_library_holds_a_number_or_the_key(
    connect: Connect, sandbox: Sandbox, logged: Callable[[], list[str]], kind: str
) -> None:
    client = connect(timeout=0.1 if kind in ("hang", "drip") else 60)
    for endpoint in ("get", "bulk", "single"):
        sandbox.fault(
            kind, at=1, endpoint=endpoint, times=5 if "error" in kind else 1, **OPTIONS.get(kind, {})
        )
    lookups = [
        *client.lookup_numbers(SIX),
        *client.lookup_devices(HUNDRED),
        *client.lookup_devices(SIX[:2], max_workers=1),
    ]
    records = logged()

    assert any("urllib3" in record and "/lookup/" in record for record in records)
    assert [record for record in records if shows(record, [*HUNDRED, sandbox.api_key])] == []
    assert not shows(repr(lookups), [*HUNDRED, sandbox.api_key])
    assert not shows("".join(str(lookup.error_message) for lookup in lookups), HUNDRED)


def test_urllib3s_complaint_of_a_broken_answer_holds_no_number(logged: Callable[[], list[str]]) -> None:
    with Listener(b"HTTP/1.1 200 OK\r\nno header at all\r\n\r\n") as service:
        client = KaleyraClient(
            ClientConfig.parse(login="HXAP16IN", password=KEY, extra={"rcs_host": service.url})
        )
        with pytest.raises(errors.AmbiguousOutcomeError):
            client.lookup_device(SIX[0])
    records = logged()

    assert any("Failed to parse headers" in record for record in records)
    assert [record for record in records if shows(record, [SIX[0], KEY])] == []


def test_urllib3s_own_words_stay_readable(
    client: KaleyraClient, sandbox: Sandbox, logged: Callable[[], list[str]]
) -> None:
    client.lookup_device(SIX[0])
    (said,) = [record for record in logged() if '"GET ' in record]

    assert f"{sandbox.url} " in said
    assert '" 200 ' in said


def test_nothing_that_a_failure_leaves_behind_shows_a_number_or_the_key(
    connect: Connect, sandbox: Sandbox
) -> None:
    secrets = [SIX[0], sandbox.api_key]
    failures: list[BaseException] = []
    for kind in KINDS:
        sandbox.reset()
        sandbox.fault(kind, at=1, times=20, count=1, **OPTIONS.get(kind, {}))
        try:
            connect(timeout=0.1).lookup_device(SIX[0])
        except errors.KaleyraError as error:
            failures.append(error)
    with sandbox.refusing(), pytest.raises(errors.NothingSentError) as caught:
        connect().lookup_device(SIX[0])
    failures.append(caught.value)

    assert len(failures) > 10
    for error in failures:
        shown = [str(error), repr(error), str(vars(error)), *traceback.format_exception(error)]
        assert shows("".join(shown), secrets) == []
        assert shows(repr(pickle.dumps(error)), secrets) == []


def test_a_number_or_key_in_kaleyras_own_words_goes_no_further(
    requests_mock: mocking.Mocker, logged: Callable[[], list[str]]
) -> None:
    client = KaleyraClient(ClientConfig.parse(login="HXAP16IN", password=KEY))
    message = f"Account of api-key {KEY} may not ask about {SIX[0]}, nor +1 201-555-0102"
    requests_mock.get(mocking.ANY, status_code=500, json={"code": "RCS500", "message": message})
    with pytest.raises(errors.ServiceError) as caught:
        client.lookup_device(SIX[0])
    (lookup,) = client.lookup_devices([SIX[0]])

    shown = [*traceback.format_exception(caught.value), repr(vars(caught.value)), repr(lookup), *logged()]
    assert shows("".join(shown), [SIX[0], KEY, "201-555-0102"]) == []
    assert "Account of api-key *** may not ask about" in str(caught.value)


def test_a_number_in_a_code_or_a_requests_name_goes_no_further(
    requests_mock: mocking.Mocker, logged: Callable[[], list[str]]
) -> None:
    client = KaleyraClient(ClientConfig.parse(login="HXAP16IN", password=KEY))
    requests_mock.get(
        mocking.ANY,
        status_code=500,
        json={"code": f"RCS500: {SIX[0]}", "message": "no"},
        headers={"X-Request-Id": f"req-{SIX[0][1:]}"},
    )
    with pytest.raises(errors.ServiceError) as caught:
        client.lookup_device(SIX[0])
    (lookup,) = client.lookup_devices([SIX[0]])

    shown = [*traceback.format_exception(caught.value), repr(vars(caught.value)), repr(lookup), *logged()]
    assert shows("".join(shown), [SIX[0]]) == []
    assert "RCS500: " in str(lookup.response_code)
    assert "request req-" in str(lookup.error_message)


def test_no_repr_shows_a_number_or_the_key(client: KaleyraClient, sandbox: Sandbox) -> None:
    device = client.lookup_device(SIX[0])
    (number,) = client.lookup_numbers(SIX[:1])
    requests = [
        wire.build_device_lookup(client.config, SIX[0]),
        wire.build_devices_lookup(client.config, SIX),
        wire.build_numbers_lookup(client.config, SIX),
    ]
    shown = repr([client, client.config, vars(client), device, number, client.ask_numbers(SIX), requests])

    assert "DeviceLookup" in shown
    assert shows(shown, [*SIX, sandbox.api_key]) == []
