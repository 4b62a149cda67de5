"""A connection's values, read into a client's settings or refused by the field's name. Pure."""

from __future__ import annotations

import json
import logging
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kaleyra.api.config import EXTRAS, ClientConfig
from airflow_provider_kaleyra.errors import ConfigurationError

SID, KEY = "HXAP1600000000IN", "Ac4QrStUvWx21f"


def parse(extra: dict[str, Any] | None = None, **fields: Any) -> ClientConfig:
    return ClientConfig.parse(**{"login": SID, "password": KEY, "extra": extra, **fields})


def test_account_and_key_are_enough() -> None:
    assert parse() == ClientConfig(
        sid=SID,
        api_key=KEY,
        number_url="https://api.kaleyra.io",
        rcs_url="https://rcs-api.na.kaleyra.io",
        timeout=60,
        requests_per_second=None,
        verify=True,
        proxies={},
        lookup_details_path="/v1/{sid}/lookup/get-info/{lookup_id}",
    )


@pytest.mark.parametrize(
    ("pod", "url"),
    [
        ("", "https://api.kaleyra.io"),
        (None, "https://api.kaleyra.io"),
        ("in", "https://api.in.kaleyra.io"),
        (" EU ", "https://api.eu.kaleyra.io"),
    ],
)
def test_the_pod_names_the_number_lookups_host(pod: str | None, url: str) -> None:
    assert parse({"pod": pod}).number_url == url


def test_the_rcs_pod_names_the_rcs_host() -> None:
    assert parse({"rcs_pod": "eu"}).rcs_url == "https://rcs-api.eu.kaleyra.io"
    assert parse({"rcs_pod": "eu", "pod": "in"}).number_url == "https://api.in.kaleyra.io"


def test_a_host_wins_over_its_pod() -> None:
    config = parse({"pod": "in", "rcs_pod": "eu", "rcs_host": "rcs.example.com"}, host="api.example.com")

    assert config.number_url == "https://api.example.com"
    assert config.rcs_url == "https://rcs.example.com"


@pytest.mark.parametrize("port", [None, 0, "0", "", 8443, "8443"])
@pytest.mark.parametrize("host", ["api.example.com", "https://api.example.com", "https://api.example.com/"])
def test_a_host_may_have_a_scheme_and_0_is_no_port(host: str, port: int | str | None) -> None:
    expected = "https://api.example.com" + (":8443" if port in (8443, "8443") else "")
    assert parse(host=host, port=port).number_url == expected


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "api.example.com", "schema": "https"}, "https://api.example.com"),
        ({"host": "api.example.com", "schema": " HTTPS "}, "https://api.example.com"),
        ({"host": "127.0.0.1", "schema": "http", "port": 8700}, "http://127.0.0.1:8700"),
        ({"host": "https://api.example.com", "schema": "http"}, "https://api.example.com"),
        ({"host": "https://api.example.com:444", "port": 443}, "https://api.example.com:444"),
        ({"host": "https://gateway.example.com/kaleyra/"}, "https://gateway.example.com/kaleyra"),
        ({"host": "API.Example.com"}, "https://api.example.com"),
    ],
)
def test_the_base_url_is_put_together_from_its_fields(fields: dict[str, Any], url: str) -> None:
    assert parse(**fields).number_url == url


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "[::1]"])
def test_plain_http_is_good_enough_for_loopback(host: str) -> None:
    url = f"http://{host}:8700"
    config = parse({"rcs_host": url}, host=url)
    assert (config.number_url, config.rcs_url) == (url, url)


@pytest.mark.parametrize(
    "host",
    ["api.kaleyra.io", "10.0.0.1", "0.0.0.0", "localhost.example.com", "127.0.0.1.example.com", "[::]"],
)
def test_plain_http_is_refused_everywhere_else(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"host is plain http.*use https"):
        parse(host=f"http://{host}")
    with pytest.raises(ConfigurationError, match=r"host is plain http.*use https"):
        parse(host=host, schema="http")
    with pytest.raises(ConfigurationError, match=r"extra rcs_host is plain http.*use https"):
        parse({"rcs_host": f"http://{host}"})


def test_unknown_extras_are_warned_of_by_name_and_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        config = parse({"time_out": 5, "Pod": "in", "timeout": ""})

    assert config == parse()
    (record,) = caplog.records
    assert "Pod, time_out" in record.getMessage()
    assert "timeout" in record.getMessage().split("Known are")[1]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"login": None}, "login"),
        ({"login": " "}, "login"),
        ({"login": "HX/../AP"}, "login"),
        ({"password": None}, "password"),
        ({"password": ""}, "password"),
        ({"password": "two words"}, "password"),
        ({"password": "kéy"}, "password"),
        ({"password": "key\r\nX-Other: 1"}, "password"),
        ({"host": "two words"}, "host"),
        ({"host": "https://"}, "host"),
        ({"host": "https://api.example.com:port"}, "host"),
        ({"host": "https://api.example.com:99999"}, "host"),
        ({"host": "https://[::1"}, "host"),
        ({"host": "https://user@api.example.com"}, "host"),
        ({"host": f"https://:{KEY}@api.example.com"}, "host"),
        ({"host": "https://api.example.com/?x=1"}, "host"),
        ({"host": "https://api.example.com/#x"}, "host"),
        ({"host": "https://api.example.com/a b"}, "host"),
        ({"host": "ftp://api.example.com"}, "host"),
        ({"schema": "ftp"}, "schema"),
        ({"schema": "two words"}, "schema"),
        ({"port": "http"}, "port"),
        ({"port": -1}, "port"),
        ({"port": 65_536}, "port"),
        ({"extra": {"pod": "https://api.in.kaleyra.io"}}, "pod"),
        ({"extra": {"rcs_pod": "n a"}}, "rcs_pod"),
        ({"extra": {"rcs_host": ["x"]}}, "rcs_host"),
        ({"extra": {"timeout": 0}}, "timeout"),
        ({"extra": {"timeout": -1}}, "timeout"),
        ({"extra": {"timeout": "a minute"}}, "timeout"),
        ({"extra": {"timeout": True}}, "timeout"),
        ({"extra": {"timeout": "nan"}}, "timeout"),
        ({"extra": {"timeout": 1e300}}, "timeout"),
        ({"extra": {"timeout": 10**400}}, "timeout"),
        ({"extra": {"requests_per_second": 0}}, "requests_per_second"),
        ({"extra": {"requests_per_second": "inf"}}, "requests_per_second"),
        ({"extra": {"requests_per_second": [1]}}, "requests_per_second"),
        ({"extra": {"burst": 5}}, "burst says nothing without the extra requests_per_second"),
        ({"extra": {"requests_per_second": 9, "burst": 0}}, "burst"),
        ({"extra": {"requests_per_second": 9, "burst": 1.5}}, "burst"),
        ({"extra": {"requests_per_second": 9, "burst": "many"}}, "burst"),
        ({"extra": {"shared_limit": "redis://cache"}}, "shared_limit says nothing without"),
        ({"extra": {"requests_per_second": 9, "shared_limit": "mysql://db/x"}}, "shared_limit"),
        ({"extra": {"requests_per_second": 9, "shared_limit": "redis://cache:port"}}, "shared_limit"),
        ({"extra": {"requests_per_second": 9, "shared_limit": "redis://"}}, "shared_limit"),
        ({"extra": {"requests_per_second": 9, "shared_limit": "limit.db"}}, "shared_limit"),
        ({"extra": {"requests_per_second": 9, "shared_limit": "/no/such/folder/limit.db"}}, "shared_limit"),
        ({"extra": {"requests_per_second": 9, "shared_limit": ["/tmp/limit.db"]}}, "shared_limit"),
        ({"extra": {"verify": "no"}}, "verify"),
        ({"extra": {"verify": "/no/such/bundle.pem"}}, "verify"),
        ({"extra": {"verify": "x" * 5000}}, "verify"),
        ({"extra": {"proxies": 3128}}, "proxies"),
        ({"extra": {"proxies": ["http://proxy:3128"]}}, "proxies"),
        ({"extra": {"proxies": {"https": 1}}}, "proxies"),
        ({"extra": {"proxies": "http://proxy:port"}}, "proxies"),
        ({"extra": {"proxies": "two words"}}, "proxies"),
        ({"extra": {"proxies": '["http://proxy:3128"]'}}, "proxies"),
        ({"extra": {"proxies": "{'https': 'http://proxy:3128'}"}}, "proxies"),
        ({"extra": {"lookup_details_path": "v1/{lookup_id}"}}, "lookup_details_path"),
        ({"extra": {"lookup_details_path": "/v1/{sid}/details"}}, "lookup_details_path"),
        ({"extra": {"lookup_details_path": "/v1/{account}/{lookup_id}"}}, "lookup_details_path"),
        ({"extra": {"lookup_details_path": "/v1/{sid.api_key}/{lookup_id}"}}, "lookup_details_path"),
        ({"extra": {"lookup_details_path": "/v1/{/{lookup_id}"}}, "lookup_details_path"),
        ({"extra": {"lookup_details_path": "/a b/{lookup_id}"}}, "lookup_details_path"),
    ],
)
def test_a_bad_value_is_refused_with_its_fields_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^The Kaleyra connection's (extra )?{named}\b"):
        parse(**fields)


def test_numbers_may_be_text_as_in_a_uri() -> None:
    config = parse({"timeout": "2.5", "requests_per_second": "10"})
    assert (config.timeout, config.requests_per_second) == (2.5, 10)


@pytest.mark.parametrize(
    ("value", "meant"),
    [(True, True), (False, False), ("true", True), ("False", False), ("0", False), (1, True), (0, False)],
)
def test_verify_may_be_text_as_in_a_uri(value: object, meant: bool) -> None:
    assert parse({"verify": value}).verify is meant


def test_verify_may_name_a_bundle(tmp_path: Path) -> None:
    bundle = tmp_path / "company.pem"
    bundle.touch()
    assert parse({"verify": str(bundle)}).verify == str(bundle)


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ({"https": "http://proxy:3128"}, {"https": "http://proxy:3128"}),
        ('{"https": "http://proxy:3128"}', {"https": "http://proxy:3128"}),
        ("http://proxy:3128", {"http": "http://proxy:3128", "https": "http://proxy:3128"}),
        ("me:word@proxy:3128", {"http": "me:word@proxy:3128", "https": "me:word@proxy:3128"}),
        ({}, {}),
    ],
)
def test_proxies_are_an_object_or_one_url(value: object, meant: dict[str, str]) -> None:
    assert parse({"proxies": value}).proxies == meant


def test_the_environments_proxies_are_used_only_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "")

    assert parse().proxies == {}
    assert parse({"proxies": "environment"}).proxies == {
        "https://api.kaleyra.io": "http://proxy:3128",
        "https://rcs-api.na.kaleyra.io": "http://proxy:3128",
    }


def test_hosts_that_the_environment_takes_out_need_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "localhost,rcs-api.na.kaleyra.io")

    assert parse({"proxies": "environment"}).proxies == {"https://api.kaleyra.io": "http://proxy:3128"}


def test_a_burst_and_a_shared_limit_go_with_a_ceiling(tmp_path: Path) -> None:
    assert parse({"requests_per_second": 9, "burst": "5"}).burst == 5
    for place in ("redis://:word@cache:6379/0", "postgresql://me:word@db/x", f"{tmp_path}/limit.db"):
        assert parse({"requests_per_second": 9, "shared_limit": place}).shared_limit == place


def test_a_shared_limits_password_is_not_shown() -> None:
    assert "pa55w0rd" not in repr(
        parse({"requests_per_second": 9, "shared_limit": "redis://me:pa55w0rd@cache"})
    )
    with pytest.raises(ConfigurationError) as caught:
        parse({"requests_per_second": 9, "shared_limit": "redis://me:pa55w0rd@cache:port"})
    assert "pa55w0rd" not in str(caught.value)


def test_neither_the_key_nor_a_proxys_password_is_shown() -> None:
    shown = repr(parse({"proxies": "http://me:pa55w0rd@proxy:3128"}))

    assert SID in shown
    assert KEY not in shown
    assert "pa55w0rd" not in shown


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
TEXT = st.none() | st.text() | st.sampled_from(["https://[", "a:b", "//x", "http://[::1]:1", KEY, f"x@{KEY}"])


@given(
    login=st.none() | st.text() | st.just(SID),
    password=st.just(KEY) | st.just(f"{KEY}\n{KEY}") | st.just(f" {KEY}é"),
    host=st.none() | st.text() | st.from_regex(r"https?://[a-z@:/\[\]?#.0-9]*"),
    port=st.none() | st.integers() | st.text(max_size=6),
    schema=st.none() | st.text(max_size=6) | st.just("http"),
    extra=st.none() | st.dictionaries(st.sampled_from(sorted(EXTRAS)) | st.text(), JSON, max_size=4),
)
def test_whatever_stands_in_a_connection_is_read_or_refused_without_the_key(
    login: str | None,
    password: str,
    host: str | None,
    port: int | str | None,
    schema: str | None,
    extra: dict[str, Any] | None,
) -> None:
    try:
        config = ClientConfig.parse(
            login=login, password=password, host=host, port=port, schema=schema, extra=extra
        )
    except ConfigurationError as error:
        shown = "".join([str(error), repr(error), *traceback.format_exception(error)])
    else:
        shown = repr(config)
        assert config.number_url.startswith(("https://", "http://"))
    assert KEY not in shown


def test_configs_of_equal_values_are_equal() -> None:
    assert parse(json.loads('{"timeout": "5"}')) == replace(parse(), timeout=5.0)


def test_law_6_the_key_does_not_leave_the_machine_through_a_proxy_of_a_loopback_host() -> None:
    with pytest.raises(ConfigurationError, match="extra proxies"):
        parse(host="http://127.0.0.1:8700", extra={"proxies": {"http": "http://proxy.example:3128"}})

    config = parse(host="http://127.0.0.1:8700", extra={"proxies": {"http": "http://127.0.0.1:3128"}})
    assert config.proxies == {"http": "http://127.0.0.1:3128"}
