"""The sandbox as an object: an HTTP server on an event loop and a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Collection, Coroutine, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Self
from urllib.parse import quote

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from airflow_provider_kaleyra.sandbox.account import Account
from airflow_provider_kaleyra.sandbox.faults import Fault, Faults
from airflow_provider_kaleyra.sandbox.later import url_key
from airflow_provider_kaleyra.sandbox.routes import LONGEST_URL, BulkShape, Service, Settings

DEFAULT_SID = "HXSANDBOX01IN"
DEFAULT_API_KEY = "Asandbox0key"  # opens nothing but the sandbox


def _quotes_no_request(record: logging.LogRecord) -> bool:
    """False for aiohttp's complaint of a malformed request: it quotes the headers, and so may show a key."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_log = logging.getLogger(__name__)
_log.addFilter(_quotes_no_request)


class Sandbox:
    """A stand-in for both of Kaleyra's services on one port, with an account and faults on demand.

    Starts with `with` or `start()`. Port 0 takes a free one. `settings` may be changed while it runs.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        latency_ms: float = 0,
        requests_per_second: float | None = None,
        sid: str = DEFAULT_SID,
        api_key: str = DEFAULT_API_KEY,
        rcs_enabled: bool = True,
        price: Decimal | str = "0.005",
        bulk_shape: BulkShape = "list",
        allowed_addresses: Collection[str] | None = None,
        details_seconds: float = 0,
    ) -> None:
        if latency_ms < 0:
            raise ValueError("latency_ms: must not be negative")
        if details_seconds < 0:
            raise ValueError("details_seconds: must not be negative")
        if requests_per_second is not None and requests_per_second <= 0:
            raise ValueError("requests_per_second: must be above 0")
        if bulk_shape not in ("list", "object"):
            raise ValueError("bulk_shape: must be 'list' or 'object'")
        self.settings = Settings(
            sid=sid,
            api_key=api_key,
            latency_ms=latency_ms,
            requests_per_second=requests_per_second,
            rcs_enabled=rcs_enabled,
            price=Decimal(price),
            bulk_shape=bulk_shape,
            allowed_addresses=allowed_addresses,
            details_seconds=details_seconds,
        )
        self.host = host
        self.port = port
        self.account = Account()
        self._faults = Faults()
        self._service = Service(self.settings, self.account, self._faults)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None

    @property
    def sid(self) -> str:
        """The account's SID."""
        return self.settings.sid

    @property
    def api_key(self) -> str:
        """The account's API key."""
        return self.settings.api_key

    @property
    def url_key(self) -> str:
        """The key in the URLs that the answer to a submission holds."""
        return url_key(self.settings.api_key)

    @property
    def url(self) -> str:
        """The base URL of both services."""
        return f"http://{self._authority}"

    @property
    def airflow_uri(self) -> str:
        """An Airflow connection to the sandbox, in URI form."""
        login, password = quote(self.sid, safe=""), quote(self.api_key, safe="")
        return f"kaleyra://{login}:{password}@{self._authority}/http?rcs_host={quote(self.url, safe='')}"

    @property
    def _authority(self) -> str:
        # A wildcard is a place to listen at, not one to connect to.
        host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def fault(self, kind: str, **options: Any) -> Fault:
        """Add a fault: a kind of `faults.KINDS` and the options of `faults.Fault`."""
        fault = Fault(kind, **options)
        self._faults.add(fault)
        return fault

    def clear_faults(self) -> None:
        """Remove all faults; the account stays."""
        self._faults.clear()

    def reset(self) -> None:
        """Empty the account and remove all faults. The settings stay as they are."""
        self._service.reset()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Close the port for a while: connecting fails, so a client can know that nothing was sent.

        Open connections are closed too; requests on their way have a second to be answered.
        """
        self._run(self._close_port(grace=1))
        try:
            yield
        finally:
            self._run(self._open_port())

    def start(self) -> Self:
        """Listen. The port is known when this returns, and an error such as a port in use is raised here."""
        if self._thread is not None:
            raise RuntimeError("the sandbox runs already")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kaleyra-sandbox", daemon=True)
        self._thread.start()
        try:
            self._run(self._open_port())
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End, breaking off what hangs. Does nothing if it does not run."""
        if self._loop is None or self._thread is None:
            return
        self._run(self._close_port(grace=0.05))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            work.close()
            raise RuntimeError("the sandbox does not run")
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open_port(self) -> None:
        self._server = web.Server(
            self._service.handle,
            # With cancellation a hanging answer ends as soon as its client gives up.
            handler_cancellation=True,
            access_log=None,
            logger=_log,
            # Above the service's own limit, so that it is the service that answers.
            max_line_size=8 * LONGEST_URL,
        )
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, self.host, self.port, backlog=1024)
        bound: socket.socket = self._listener.sockets[0]
        self.port = bound.getsockname()[1]

    async def _close_port(self, grace: float) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._server is not None:
            self._server.pre_shutdown()  # idle connections need no grace
            await self._server.shutdown(timeout=grace)
        self._listener = self._server = None
