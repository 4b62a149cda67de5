"""The hook: one Airflow connection, in whatever form, made into one client."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from airflow.models.connection import Connection

from airflow_provider_kaleyra.api import retry
from airflow_provider_kaleyra.api.config import ClientConfig
from airflow_provider_kaleyra.errors import ConfigurationError, InvalidNumberError, NotE164Error
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from tests.conftest import kaleyra_connection
from tests.support.numbers import numbers

ONE, TWO, *_ = TEN = numbers(10)
SID, KEY = "HXAP1600000000IN", "Ac4/Qr:St@Uv&Wx"
FIELDS: dict[str, Any] = {"login": SID, "password": KEY, "host": "gateway.example.com", "port": 8443}
EXTRA: dict[str, Any] = {
    "rcs_host": "https://rcs.example.com",
    "timeout": 7.5,
    "requests_per_second": 10,
    "verify": False,
    "proxies": {"https": "http://proxy:3128"},
    "lookup_details_path": "/v2/{sid}/{lookup_id}",
}
CONFIG = ClientConfig(
    sid=SID,
    api_key=KEY,
    number_url="https://gateway.example.com:8443",
    rcs_url="https://rcs.example.com",
    timeout=7.5,
    requests_per_second=10,
    verify=False,
    proxies={"https": "http://proxy:3128"},
    lookup_details_path="/v2/{sid}/{lookup_id}",
)


@pytest.fixture(autouse=True)
def _retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.001)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], KaleyraHook]:
    """Make a hook of a connection in one of the forms that an environment variable can have."""

    def make(connection: str) -> KaleyraHook:
        monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_OTHER", connection)
        return KaleyraHook("kaleyra_other")

    return make


def uri(**query: str) -> str:
    return f"kaleyra://{SID}:{quote(KEY, safe='')}@gateway.example.com:8443/https?{urlencode(query)}"


TEXTS = {
    **{name: str(value) for name, value in EXTRA.items()},
    "verify": "false",
    "proxies": json.dumps(EXTRA["proxies"]),
}


@pytest.mark.parametrize(
    "connection",
    [
        pytest.param(json.dumps({"conn_type": "kaleyra", **FIELDS, "extra": EXTRA}), id="JSON"),
        pytest.param(
            json.dumps({"conn_type": "kaleyra", **FIELDS, "extra": json.dumps(EXTRA)}),
            id="JSON with the extra as text",
        ),
        pytest.param(
            json.dumps({"conn_type": "kaleyra", **FIELDS, "port": "8443", "extra": TEXTS}),
            id="JSON with values as text",
        ),
        pytest.param(
            json.dumps(
                {
                    "conn_type": "kaleyra",
                    **FIELDS,
                    "host": "https://gateway.example.com:8443/",
                    "port": None,
                    "extra": EXTRA,
                }
            ),
            id="JSON with a URL as host",
        ),
        pytest.param(uri(**TEXTS), id="URI"),
        pytest.param(uri(__extra__=json.dumps(EXTRA)), id="URI with the extra as JSON"),
    ],
)
def test_every_form_of_a_connection_gives_the_same_client(
    connect: Callable[[str], KaleyraHook], connection: str
) -> None:
    assert connect(connection).get_conn().config == CONFIG


def test_the_connection_of_the_ui_gives_the_same_client(
    connect: Callable[[str], KaleyraHook], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The form fills what was left empty with its defaults and with empty text.
    extra = {"pod": "", "rcs_pod": "na", **EXTRA, "verify": "false", "proxies": TEXTS["proxies"]}
    stored = Connection(conn_type="kaleyra", schema="", extra=json.dumps(extra), **FIELDS)
    monkeypatch.setattr(KaleyraHook, "get_connection", lambda *_: stored)

    assert KaleyraHook().get_conn().config == CONFIG


def test_a_connection_of_account_and_key_is_enough(connect: Callable[[str], KaleyraHook]) -> None:
    config = connect(f"kaleyra://{SID}:{quote(KEY, safe='')}@").get_conn().config

    assert config == ClientConfig.parse(login=SID, password=KEY)
    assert config.number_url == "https://api.kaleyra.io"


@pytest.mark.parametrize("extra", [None, "", {}, {"pod": None, "timeout": "", "proxies": ""}])
def test_what_is_empty_is_not_given(connect: Callable[[str], KaleyraHook], extra: object) -> None:
    connection = {"conn_type": "kaleyra", "login": SID, "password": KEY, "host": "", "port": 0}
    config = connect(json.dumps(connection | {"extra": extra})).get_conn().config

    assert config == ClientConfig.parse(login=SID, password=KEY)


def test_the_sandboxs_own_uri_reaches_it(connect: Callable[[str], KaleyraHook], sandbox: Sandbox) -> None:
    hook = connect(sandbox.airflow_uri)

    assert hook.lookup_device(ONE).status == "ok"
    assert [lookup.status for lookup in hook.lookup_numbers([TWO])] == ["ok"]


def test_a_bad_value_is_refused_with_its_fields_name_before_anything_is_sent(
    connect: Callable[[str], KaleyraHook], sandbox: Sandbox
) -> None:
    hook = connect(kaleyra_connection(sandbox, timeout="soon"))
    for ask in (hook.get_conn, lambda: hook.lookup_devices(TEN), lambda: hook.lookup_numbers(TEN)):
        with pytest.raises(ConfigurationError, match="extra timeout"):
            ask()
    assert sandbox.account.requests == []


def test_an_unknown_extra_is_warned_of(
    connect: Callable[[str], KaleyraHook], sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    connect(kaleyra_connection(sandbox, tiemout=5)).get_conn()

    assert any("tiemout" in record.getMessage() for record in caplog.records)


def test_the_connection_is_read_once(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    get_connection = KaleyraHook.get_connection

    def count(cls: type[KaleyraHook], conn_id: str) -> Any:
        read.append(conn_id)
        return get_connection(conn_id)

    monkeypatch.setattr(KaleyraHook, "get_connection", classmethod(count))
    hook = KaleyraHook()
    hook.lookup_device(ONE)
    list(hook.lookup_devices([ONE]))
    list(hook.lookup_numbers([ONE]))

    assert hook.get_conn() is hook.get_conn()
    assert read == ["kaleyra_default"]


def test_a_hook_reads_no_connection_before_it_is_asked() -> None:
    assert repr(KaleyraHook("no_such_connection"))


def test_one_device_is_looked_up(sandbox: Sandbox) -> None:
    lookup = KaleyraHook().lookup_device(ONE)

    assert lookup.phone_number == ONE
    assert lookup.rcs_enabled is subscriber(ONE).rcs_enabled
    assert sandbox.account.purchases["rcs"] == {ONE: 1}


def test_one_device_that_is_none_is_an_error(sandbox: Sandbox) -> None:
    nobodys = next(number for number in numbers(500, assigned=None) if not subscriber(number).assigned)
    with pytest.raises(InvalidNumberError):
        KaleyraHook().lookup_device(nobodys)
    with pytest.raises(NotE164Error):
        KaleyraHook().lookup_device(f"{ONE},{TWO}")
    assert sandbox.account.purchases["rcs"] == {}


def test_601_devices_make_two_bulks(sandbox: Sandbox) -> None:
    lookups = list(KaleyraHook().lookup_devices(iter(numbers(601))))

    assert sorted(len(request.numbers) for request in sandbox.account.requests) == [300, 301]
    assert len(lookups) == 601


def test_batch_size_and_max_workers_reach_the_service(sandbox: Sandbox) -> None:
    list(KaleyraHook().lookup_numbers(TEN, batch_size=3, max_workers=1))
    assert [len(request.numbers) for request in sandbox.account.requests] == [3, 3, 2, 2]

    sandbox.reset()
    list(KaleyraHook().lookup_devices(numbers(250), batch_size=125, max_workers=1))
    assert [len(request.numbers) for request in sandbox.account.requests] == [125, 125]


def test_lookups_are_submitted_at_once_and_answered_by_id(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = KaleyraHook()
    monkeypatch.setattr(sandbox.settings, "details_seconds", 60)
    submission = hook.submit_number_lookup(iter(TEN))
    assert submission.id
    assert list(submission.lookup_ids) == TEN
    assert hook.get_lookup_details(submission.lookup_ids[TWO]) is None

    monkeypatch.setattr(sandbox.settings, "details_seconds", 0)
    lookup = hook.get_lookup_details(submission.lookup_ids[TWO])
    assert lookup is not None
    assert (lookup.phone_number, lookup.status) == (TWO, "ok")
    assert lookup.current_operator == subscriber(TWO).current.name
    assert sandbox.account.purchases["number"] == Counter(TEN)


def test_what_is_no_number_is_not_submitted(sandbox: Sandbox) -> None:
    with pytest.raises(NotE164Error):
        KaleyraHook().submit_number_lookup([ONE, "12"])
    assert not sandbox.account.requests


@pytest.mark.parametrize("lookup", [KaleyraHook.lookup_devices, KaleyraHook.lookup_numbers])
def test_outcomes_come_while_the_input_still_does(
    sandbox: Sandbox, lookup: Callable[..., Iterator[Any]]
) -> None:
    many = 30_000
    read = 0

    def stream() -> Iterator[str]:
        nonlocal read
        for read in range(many):
            yield f"+9198{read:08d}"

    lookups = lookup(KaleyraHook(), stream(), batch_size=500, max_workers=2)
    assert read == 0
    next(lookups)

    assert read < many / 2
    lookups.close()
    asked = {number for request in sandbox.account.requests for number in request.numbers}
    assert len(asked) <= 4 * 500


@pytest.mark.parametrize("lookup", [KaleyraHook.lookup_devices, KaleyraHook.lookup_numbers])
def test_breaking_out_early_buys_nothing_more(sandbox: Sandbox, lookup: Callable[..., Iterator[Any]]) -> None:
    lookups = lookup(KaleyraHook(), TEN, batch_size=1, max_workers=1)
    for _ in range(3):
        next(lookups)
    lookups.close()

    bought = Counter(number for request in sandbox.account.requests for number in request.numbers)
    assert bought == Counter(TEN[:3])


def test_an_input_without_numbers_asks_nothing(sandbox: Sandbox) -> None:
    assert list(KaleyraHook().lookup_devices([])) == list(KaleyraHook().lookup_numbers([])) == []
    assert sandbox.account.requests == []


def reached(sandbox: Sandbox) -> tuple[bool, str]:
    """Test the connection; whatever it says, it must not have bought anything."""
    told = KaleyraHook().test_connection()
    assert sum(map(Counter.total, sandbox.account.purchases.values())) == 0
    assert sandbox.account.charged == 0
    assert sandbox.api_key not in told[1]
    return told


def test_a_connection_that_works_says_so_and_buys_nothing(sandbox: Sandbox) -> None:
    works, message = reached(sandbox)

    assert works
    assert message.count("account and key accepted") == 2
    assert {request.api for request in sandbox.account.requests} == {"rcs", "number"}
    assert {request.endpoint for request in sandbox.account.requests} <= {"single", "details"}


@pytest.mark.parametrize("wrong", [{"sid": "HXOTHER"}, {"api_key": "another-key"}])
def test_a_wrong_key_or_account_is_told(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]
) -> None:
    for name, value in wrong.items():
        monkeypatch.setattr(sandbox.settings, name, value)
    works, message = reached(sandbox)

    assert not works
    assert message.count("check login and password") == 2
    assert "allow-list" not in message


def test_a_key_that_is_not_allowed_from_here_is_told(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.settings, "allowed_addresses", {"192.0.2.1"})
    works, message = reached(sandbox)

    assert not works
    assert "allow-list" in message
    assert "login" not in message
    assert "HTTP 403" in message


def test_an_rcs_channel_that_is_off_is_told_apart_from_number_lookups_that_work(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.settings, "rcs_enabled", False)
    works, message = reached(sandbox)

    assert not works
    assert "Number lookup: reached, account and key accepted." in message
    assert "RCS: The RCS channel is not enabled on this account" in message


def test_a_host_that_nobody_listens_at_is_told(sandbox: Sandbox) -> None:
    with sandbox.refusing():
        works, message = reached(sandbox)

    assert not works
    assert message.count("No connection to the service") == 2
    assert message.count(f"Is {sandbox.url} the right host or pod") == 2


def test_what_is_no_pods_name_is_told(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", kaleyra_connection(sandbox, pod="in dia"))
    works, message = reached(sandbox)

    assert not works
    assert "extra pod is no pod's name" in message


def test_a_host_that_is_none_of_kaleyras_is_told(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.fault("html_error", status=404, at=1, times=2)
    works, message = reached(sandbox)

    assert not works
    assert message.count("check host, pod, rcs_pod and rcs_host") == 2


def test_a_bad_field_is_told_by_its_name(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", kaleyra_connection(sandbox, timeout=-1))
    works, message = reached(sandbox)

    assert not works
    assert "extra timeout" in message
    assert sandbox.account.requests == []


def test_a_service_that_does_not_answer_is_told(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", kaleyra_connection(sandbox, timeout=0.1))
    sandbox.fault("hang", at=1, times=2)
    works, message = reached(sandbox)

    assert not works
    assert "Timeout" in message
