"""One HTTP exchange: sent or not sent, answered or not, and nothing that retries or redirects by itself."""

from __future__ import annotations

import io
import logging
import socket
import threading
import time
from http.client import HTTPException, HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import pendulum
import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Retry
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from airflow_provider_kaleyra.api.config import CONNECT_TIMEOUT, ClientConfig
from airflow_provider_kaleyra.api.wire import Request, Response, key_header
from airflow_provider_kaleyra.errors import AmbiguousOutcomeError, NothingSentError, UnreadableAnswerError
from airflow_provider_kaleyra.phone import mask_text

MOST_CONNECTIONS = 256
MOST_BYTES = 64 * 1024 * 1024

_leaving = threading.local()
"""Whether the calling thread's request has begun to leave: TLS is up, the first byte is next."""


class _Within(io.RawIOBase):
    """A socket's bytes, in all no later than its timeout allows from now, however slowly they drip."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._deadline = time.monotonic() + (sock.gettimeout() or CONNECT_TIMEOUT)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Within(sock))


class _HTTPConnection(HTTPConnection):
    response_class = _Answer

    def request(self, *args: Any, **kwargs: Any) -> None:
        _leaving.begun = True
        super().request(*args, **kwargs)


class _HTTPSConnection(HTTPSConnection):
    response_class = _Answer

    def request(self, *args: Any, **kwargs: Any) -> None:
        _leaving.begun = True
        super().request(*args, **kwargs)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _Adapter(HTTPAdapter):
    _pools = {"http": _HTTPPool, "https": _HTTPSPool}  # noqa: RUF012

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools
        self._ways: dict[str, Any] = {}

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> Any:
        # All requests of a session have the same proxies and the same TLS: the way to a host stays the same.
        host = str(request.url).split("/", 3)[2]
        if host not in self._ways:
            self._ways[host] = super().get_connection_with_tls_context(request, *args, **kwargs)
        return self._ways[host]

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002
        # None is followed, and none prepared: requests would stumble over a Location that cannot be read.
        return None


class _MaskNumbers(logging.Filter):
    """urllib3 names the paths of requests, at DEBUG level and in warnings, and ours hold phone numbers."""

    loggers = (
        "urllib3.connection",
        "urllib3.connectionpool",
        "urllib3.poolmanager",
        "urllib3.response",
        "urllib3.util.retry",
    )

    @classmethod
    def install(cls) -> None:
        for logger in map(logging.getLogger, cls.loggers):
            if not any(isinstance(known, cls) for known in logger.filters):
                logger.addFilter(cls())

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = _masked_path(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(map(_masked_path, record.args))
        return True


def _masked_path(part: object) -> Any:
    return mask_text(part) if isinstance(part, str) and "/lookup/" in part else part


class Transport:
    """A pooled session that holds the API key; safe to use from many threads."""

    def __init__(self, config: ClientConfig) -> None:
        _MaskNumbers.install()
        self._key = config.api_key.encode()
        self._session = _Session()
        # Neither proxies nor a .netrc of the environment: what is used stands in the connection.
        self._session.trust_env = False
        self._headers: dict[str, Any] = {**self._session.headers, **key_header(config.api_key)}
        self._sending: dict[str, Any] = {
            "timeout": (CONNECT_TIMEOUT, config.timeout),
            "verify": config.verify,
            "proxies": dict(config.proxies),
            "allow_redirects": False,
            "stream": True,
        }
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = _Adapter(pool_maxsize=MOST_CONNECTIONS, max_retries=Retry(0, read=False))
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def send(self, request: Request) -> Response:
        """Send one request and read its whole answer within the connection's ``timeout``.

        :raises NothingSentError: no byte of it left.
        :raises AmbiguousOutcomeError: it left, and no whole answer came.
        """
        _leaving.begun = False
        try:
            with self._session.send(self._prepared(request), **self._sending) as answer:
                body = self._without_key(_read(answer))
                return Response(answer.status_code, answer.headers, body, pendulum.now("UTC"))
        except (requests.RequestException, HTTPError, HTTPException, OSError) as error:
            # Their texts name the URL, and with it the number: only the kind of failure is told.
            cause = _innermost(error)
            kind = type(cause).__name__
            if not _leaving.begun or isinstance(cause, (NewConnectionError, ConnectTimeoutError)):
                raise NothingSentError(f"No connection to the service, nothing was sent: {kind}") from None
            raise AmbiguousOutcomeError(
                f"The request was sent and its answer was lost: {kind}. It may have been billed"
            ) from None

    def _prepared(self, request: Request) -> requests.PreparedRequest:
        # `Session.request` would merge the session's settings, and check a URL that is made here, every time:
        # a third of the CPU that a request costs.
        prepared = requests.PreparedRequest()
        prepared.method, prepared.url, prepared.body = request.method, request.url, request.body
        prepared.headers = CaseInsensitiveDict({**self._headers, **request.headers})
        prepared.prepare_content_length(request.body)
        prepared._cookies = self._session.cookies  # type: ignore[attr-defined]
        return prepared

    def _without_key(self, body: bytes) -> bytes:
        # A complaint about a key may quote it, and would be logged and filed. One so short is made up.
        return body.replace(self._key, b"***") if len(self._key) >= 8 else body


def _read(answer: requests.Response) -> bytes:
    body = bytearray()
    for chunk in answer.iter_content(1 << 16):
        body += chunk
        if len(body) > MOST_BYTES:
            raise UnreadableAnswerError("The answer is larger than any of Kaleyra's")
    return bytes(body)


def _innermost(error: BaseException) -> BaseException:
    """Find what lies under the layers of requests and urllib3."""
    inner = getattr(error, "reason", None) or next(
        (arg for arg in error.args if isinstance(arg, Exception)), None
    )
    return _innermost(inner) if isinstance(inner, Exception) else error
