"""One HTTP exchange: what was sent, what was not, and where the key goes."""

from __future__ import annotations

import ipaddress
import itertools
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_kaleyra.api.client import KaleyraClient
from airflow_provider_kaleyra.api.config import ClientConfig
from airflow_provider_kaleyra.errors import AmbiguousOutcomeError, NothingSentError, UnreadableAnswerError
from airflow_provider_kaleyra.sandbox import Sandbox
from tests.api.listener import Answer, Listener, http
from tests.support.numbers import numbers

ONE, TWO = numbers(2)
KEY = "Ac4QrStUvWx21f"
GOOD = http(b'{"code": "RCS702", "data": {"deviceAddress": "%s", "rcsEnabled": true}}' % ONE.encode())
Connect = Callable[..., KaleyraClient]


def at(url: str, **extra: object) -> KaleyraClient:
    """A client whose RCS service is at a URL."""
    return KaleyraClient(ClientConfig.parse(login="HXAP16IN", password=KEY, extra={"rcs_host": url, **extra}))


def lost(answer: Answer, **extra: object) -> tuple[AmbiguousOutcomeError, int]:
    """Give the error of an answer that came to nothing, and how many requests were sent for it."""
    with Listener(answer) as service:
        with pytest.raises(AmbiguousOutcomeError) as caught:
            at(service.url, **extra).lookup_device(ONE)
        return caught.value, len(service.received)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\0\1\2", id="no HTTP"),
        pytest.param(b"HTTP/1.1 abc\r\n\r\n", id="no status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="half a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", id="too many headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", id="too long a header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", id="half a body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", id="half a chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", id="no chunk"),
        pytest.param(http(b"{}", Content_Encoding="gzip"), id="not the gzip it says"),
    ],
)
def test_an_answer_that_breaks_off_may_have_been_billed_and_is_not_asked_for_again(answer: bytes) -> None:
    error, requests = lost(answer)

    assert error.lookup_status == "in_doubt"
    assert requests == 1


def test_an_endless_answer_is_read_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_kaleyra.api.transport.MOST_BYTES", 100_000)

    def endless(connection: socket.socket, head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" " * 10_000)

    error, requests = lost(endless)
    assert type(error) is UnreadableAnswerError
    assert requests == 1


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Slow: ", id="head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFF\r\n", id="chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="body of no length"),
    ],
)
def test_timeout_bounds_an_answer_that_drips_wherever_it_does(begun: bytes) -> None:
    def drip(connection: socket.socket, head: bytes) -> None:
        connection.sendall(begun)
        for _ in range(200):
            connection.sendall(b" ")
            time.sleep(0.02)

    began = time.monotonic()
    error, requests = lost(drip, timeout=0.3)

    assert 0.3 <= time.monotonic() - began < 2
    assert type(error) is AmbiguousOutcomeError
    assert requests == 1


def test_timeout_counts_anew_for_each_request_of_a_connection(connect: Connect, sandbox: Sandbox) -> None:
    client = connect(timeout=0.3)
    sandbox.settings.latency_ms = 120
    try:
        assert [client.lookup_device(ONE).status for _ in range(4)] == ["ok"] * 4
    finally:
        sandbox.settings.latency_ms = 0


def test_nobody_listening_is_nothing_sent() -> None:
    with Listener() as service:
        gone = service.url
    with pytest.raises(NothingSentError, match="nothing was sent"):
        at(gone).lookup_device(ONE)


def test_a_host_that_does_not_exist_is_nothing_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(NothingSentError):
        at("https://rcs.kaleyra.invalid").lookup_device(ONE)


def test_https_to_a_port_without_tls_is_nothing_sent(sandbox: Sandbox) -> None:
    with pytest.raises(NothingSentError, match="SSL"):
        at(sandbox.url.replace("http:", "https:")).lookup_device(ONE)
    assert sandbox.account.requests == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that nobody else has signed, with its key, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "self-signed.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_host_that_cannot_prove_its_name_is_sent_nothing(tls: ssl.SSLContext) -> None:
    with Listener(GOOD, tls) as service:
        with pytest.raises(NothingSentError, match="SSL"):
            at(service.url).lookup_device(ONE)
        assert service.received == []


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_verify_may_trust_one_bundle_or_anyone(tls: ssl.SSLContext, certificate: Path) -> None:
    with Listener(GOOD, tls) as service:
        for verify in (str(certificate), False):
            assert at(service.url, verify=verify).lookup_device(ONE).rcs_enabled


def test_an_answer_lost_after_tls_was_up_may_have_been_billed(tls: ssl.SSLContext, certificate: Path) -> None:
    with Listener(b"", tls) as service:
        with pytest.raises(AmbiguousOutcomeError):
            at(service.url, verify=str(certificate)).lookup_device(ONE)
        assert len(service.received) == 1


def test_timeout_bounds_a_dripping_answer_over_tls_too(tls: ssl.SSLContext, certificate: Path) -> None:
    def drip(connection: socket.socket, head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(200):
            connection.sendall(b" ")
            time.sleep(0.02)

    began = time.monotonic()
    with Listener(drip, tls) as service, pytest.raises(AmbiguousOutcomeError):
        at(service.url, verify=str(certificate), timeout=0.3).lookup_device(ONE)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_law_6_a_redirect_is_not_followed_and_the_key_stays_here(
    client: KaleyraClient, sandbox: Sandbox, status: int
) -> None:
    with Sandbox(sid=sandbox.sid, api_key=sandbox.api_key) as other:
        sandbox.fault("redirect", status=status, location=f"{other.url}/v1/{other.sid}/lookup/{ONE[1:]}")
        (lookup,) = client.lookup_numbers([ONE])

        assert (lookup.status, lookup.reason) == ("in_doubt", "unreadable_answer")
        assert other.account.requests == []
    assert len(sandbox.account.requests) == 1


def test_each_service_is_asked_at_its_own_host(sandbox: Sandbox) -> None:
    with Sandbox(sid=sandbox.sid, api_key=sandbox.api_key) as rcs:
        config = ClientConfig.parse(
            login=sandbox.sid, password=sandbox.api_key, host=sandbox.url, extra={"rcs_host": rcs.url}
        )
        client = KaleyraClient(config)
        client.lookup_device(ONE)
        list(client.lookup_numbers([ONE]))

        assert [request.api for request in rcs.account.requests] == ["rcs"]
        assert [request.api for request in sandbox.account.requests] == ["number"]


def test_cookies_are_not_kept() -> None:
    with Listener(GOOD.replace(b"\r\n\r\n", b"\r\nSet-Cookie: who=me; Path=/\r\n\r\n", 1)) as service:
        client = at(service.url)
        client.lookup_device(ONE)
        client.lookup_device(ONE)

        assert not any(b"cookie" in head.lower() for head in service.received)


def test_the_key_is_in_its_header_and_the_account_in_the_path() -> None:
    with Listener(GOOD) as service:
        at(service.url).lookup_device(ONE)
        (head,) = service.received

    assert head.startswith(b"GET /v1/HXAP16IN/rcs/lookup/%2B" + ONE[1:].encode() + b" HTTP/1.1\r\n")
    assert b"\r\napi-key: " + KEY.encode() + b"\r\n" in head
    assert b"\r\nAccept: application/json\r\n" in head


def test_a_netrc_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\ndefault login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with Listener(GOOD) as service:
        at(service.url).lookup_device(ONE)

        assert b"authorization" not in service.received[0].lower()


@pytest.fixture
def dead_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, scheme in itertools.product(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), (str.upper, str.lower)):
        monkeypatch.setenv(scheme(name), "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_proxies_of_the_environment_are_not_used(
    client: KaleyraClient, sandbox: Sandbox, dead_proxies: None
) -> None:
    assert client.lookup_device(ONE).status == "ok"
    assert len(sandbox.account.requests) == 1


def test_proxies_of_the_environment_are_used_if_the_connection_says_so(
    connect: Connect, sandbox: Sandbox, dead_proxies: None
) -> None:
    with pytest.raises(NothingSentError):
        connect(proxies="environment").lookup_device(ONE)
    assert sandbox.account.requests == []


def test_a_host_of_no_proxy_is_reached_without_one(
    connect: Connect, sandbox: Sandbox, dead_proxies: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert connect(proxies="environment").lookup_device(ONE).status == "ok"


def test_a_request_takes_the_connections_proxy() -> None:
    with Listener(GOOD) as proxy:
        lookup = at("http://127.0.0.1:9", proxies={"http": proxy.url}).lookup_device(ONE)

        assert lookup.rcs_enabled
        assert proxy.received[0].startswith(b"GET http://127.0.0.1:9/v1/")


def test_a_proxy_on_the_way_to_https_sees_neither_key_nor_number() -> None:
    with Listener(b"HTTP/1.1 502 Bad Gateway\r\n\r\n") as proxy:
        with pytest.raises(NothingSentError):
            at("https://rcs.kaleyra.invalid", proxies=proxy.url).lookup_device(ONE)

        assert all(head.startswith(b"CONNECT rcs.kaleyra.invalid:443 ") for head in proxy.received)
        assert not any(KEY.encode() in head or ONE[1:].encode() in head for head in proxy.received)
        assert len(proxy.received) > 1


def test_connections_are_used_again(monkeypatch: pytest.MonkeyPatch, client: KaleyraClient) -> None:
    opened = 0
    connect = socket.socket.connect

    def count(self: socket.socket, address: object) -> None:
        nonlocal opened
        opened += 1
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", count)
    for number in numbers(5):
        client.lookup_device(number)

    assert opened == 1
