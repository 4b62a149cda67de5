"""One HTTP exchange: sent or not sent, answered or not, and nothing that retries or redirects by itself."""

from __future__ import annotations

import logging
import threading
import time
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import pendulum
import requests
from requests.adapters import HTTPAdapter
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


class _HTTPConnection(HTTPConnection):
    def request(self, *args: Any, **kwargs: Any) -> None:
        _leaving.begun = True
        super().request(*args, **kwargs)


class _HTTPSConnection(HTTPSConnection):
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

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


class _MaskNumbers(logging.Filter):
    """urllib3 names each request's path at DEBUG level, and ours hold phone numbers."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "/lookup/" in message:
            record.msg, record.args = mask_text(message), ()
        return True


class Transport:
    """A pooled session that holds the API key; safe to use from many threads."""

    def __init__(self, config: ClientConfig) -> None:
        logger = logging.getLogger("urllib3.connectionpool")
        if not any(isinstance(known, _MaskNumbers) for known in logger.filters):
            logger.addFilter(_MaskNumbers())
        self._timeout = config.timeout
        self._session = requests.Session()
        # Neither proxies nor a .netrc of the environment: what is used stands in the connection.
        self._session.trust_env = False
        self._session.verify = config.verify
        self._session.proxies = dict(config.proxies)
        self._session.headers.update(key_header(config.api_key))
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
        deadline = time.monotonic() + self._timeout
        try:
            with self._session.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                data=request.body,
                timeout=(CONNECT_TIMEOUT, self._timeout),
                allow_redirects=False,
                stream=True,
            ) as answer:
                return Response(
                    answer.status_code, answer.headers, _read(answer, deadline), pendulum.now("UTC")
                )
        except (requests.RequestException, HTTPError, HTTPException, OSError) as error:
            # Their texts name the URL, and with it the number: only the kind of failure is told.
            cause = _innermost(error)
            kind = type(cause).__name__
            if not _leaving.begun or isinstance(cause, (NewConnectionError, ConnectTimeoutError)):
                raise NothingSentError(f"No connection to the service, nothing was sent: {kind}") from None
            raise AmbiguousOutcomeError(
                f"The request was sent and its answer was lost: {kind}. It may have been billed"
            ) from None


def _read(answer: requests.Response, deadline: float) -> bytes:
    body = bytearray()
    while chunk := answer.raw.read1(1 << 16, decode_content=True):
        body += chunk
        if time.monotonic() > deadline:
            raise TimeoutError
        if len(body) > MOST_BYTES:
            raise UnreadableAnswerError("The answer is larger than any of Kaleyra's")
    return bytes(body)


def _innermost(error: BaseException) -> BaseException:
    """Find what lies under the layers of requests and urllib3."""
    inner = getattr(error, "reason", None) or next(
        (arg for arg in error.args if isinstance(arg, Exception)), None
    )
    return _innermost(inner) if isinstance(inner, Exception) else error
