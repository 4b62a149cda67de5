"""What answers a request: the API's endpoints with their checks, and the sandbox's own `/sandbox/…`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import unquote

from aiohttp import web

from airflow_provider_kaleyra.sandbox import answers
from airflow_provider_kaleyra.sandbox.account import Account, Api, Endpoint, Request, Window
from airflow_provider_kaleyra.sandbox.answers import Answer, failure, prefix
from airflow_provider_kaleyra.sandbox.delivery import deliver, reply
from airflow_provider_kaleyra.sandbox.faults import KINDS, Fault, Faults
from airflow_provider_kaleyra.sandbox.later import (
    DETAILS_SHAPES,
    PENDING_SHAPES,
    DetailsShape,
    PendingShape,
    Submissions,
    url_key,
)

BulkShape = Literal["list", "object"]
CONTROL = "/sandbox"
LONGEST_URL = 8190  # Kaleyra's limit is not known; this is that of common gateways.


@dataclass(slots=True)
class Settings:
    """How the service behaves; a change counts from the next request on.

    `allowed_addresses` are those the key may be used from, None for all. A submitted lookup is pending for
    `details_seconds`, as `pending_shape` says it; then its details have `details_shape`.
    """

    sid: str
    api_key: str
    latency_ms: float = 0
    requests_per_second: float | None = None
    rcs_enabled: bool = True
    price: Decimal = Decimal("0.005")
    bulk_shape: BulkShape = "list"
    allowed_addresses: Collection[str] | None = None
    details_seconds: float = 0
    details_shape: DetailsShape = "list"
    pending_shape: PendingShape = "202"

    def change(self, changes: dict[str, Any]) -> None:
        """Set what concerns latency and later answers; ValueError for anything else."""
        for name, value in changes.items():
            known = {"details_shape": DETAILS_SHAPES, "pending_shape": PENDING_SHAPES}.get(name)
            if known is None and name not in ("latency_ms", "details_seconds"):
                raise ValueError(f"{name}: cannot be set")
            good = value in known if known else type(value) in (int, float) and value >= 0
            if not good:
                raise ValueError(
                    f"{name}: {value!r} will not do" + (f", {', '.join(known)}" if known else "")
                )
        for name, value in changes.items():
            setattr(self, name, value)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a path leads; `method` is the only one allowed there, None where there is nothing."""

    api: Api
    endpoint: Endpoint
    method: str | None
    sid: str = ""
    tail: str = ""


def locate(method: str, path: str) -> Route:
    """Find the endpoint of a path that is still percent-encoded, so that an encoded slash is no slash."""
    match path.rstrip("/").split("/"):
        case ["", "v1", sid, "rcs", "lookup", "bulk"] if method != "GET":
            return Route("rcs", "bulk", "POST", unquote(sid))
        case ["", "v1", sid, "rcs", "lookup", *tail] if len(tail) < 2:
            return Route("rcs", "single", "GET", unquote(sid), unquote("".join(tail)))
        case ["", "v1", sid, "lookup"] if method == "POST":
            return Route("number", "submit", "POST", unquote(sid))
        case ["", "v1", sid, "lookup", *tail] if len(tail) < 2:
            return Route("number", "get", "GET", unquote(sid), unquote("".join(tail)))
        case ["", "v1", sid, "lookup", "get-info", tail]:
            return Route("number", "details", "GET", unquote(sid), unquote(tail))
        case ["", "v1", _, "rcs", *_]:
            return Route("rcs", "unknown", None)
    return Route("number", "unknown", None)


def read_bulk(body: bytes) -> tuple[str, ...] | Answer:
    """The device addresses in a bulk request's body, or the refusal of the body."""
    try:
        document = json.loads(body)
    except ValueError:
        return failure(400, "RCS701", "INVALID_JSON", "Invalid JSON")
    entries = document.get("deviceAddresses") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        return failure(400, "RCS702", "MISSING_REQUIRED_PARAMS", "deviceAddresses is required")
    return tuple(answers.with_plus(entry) for entry in entries if isinstance(entry, str))


def read_submission(body: bytes) -> tuple[str, ...] | Answer:
    """The numbers in a POST API Lookup's body, or the refusal of the body."""
    try:
        document = json.loads(body)
    except ValueError:
        return failure(400, "LKP400", "INVALID_JSON", "Invalid JSON")
    entries = document.get("mobile") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        return failure(400, "LKP400", "MISSING_REQUIRED_PARAMS", "mobile is required")
    return tuple(answers.with_plus(str(entry)) for entry in entries)


class Service:
    """Both APIs and the control routes over one account."""

    def __init__(self, settings: Settings, account: Account, faults: Faults) -> None:
        self.settings = settings
        self.account = account
        self.faults = faults
        self.window = Window()
        self.submissions = Submissions()

    def reset(self) -> None:
        """Forget requests, purchases, submitted lookups, faults and what the rate limit counted."""
        self.submissions.clear()
        self.account.clear()
        self.faults.clear()
        self.window = Window()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request."""
        path = request.raw_path.partition("?")[0]
        body = await request.read() if request.can_read_body else b""
        if path == CONTROL or path.startswith(CONTROL + "/"):
            return self._control(request.method, path.removeprefix(CONTROL), body)
        return await self._api(request, locate(request.method, path), body)

    async def _api(self, request: web.BaseRequest, route: Route, body: bytes) -> web.StreamResponse:
        now = time.time()
        parsed: tuple[str, ...] | Answer = ()
        if route.endpoint == "bulk":
            parsed = read_bulk(body)
        elif route.endpoint == "single":
            parsed = (answers.with_plus(route.tail),) if route.tail else ()
        elif route.endpoint == "get":
            parsed = tuple(answers.with_plus(entry) for entry in route.tail.split(",") if route.tail)
        elif route.endpoint == "submit":
            parsed = read_submission(body)
        elif number := self.submissions.number(route.tail):
            parsed = (number,)
        numbers = () if isinstance(parsed, Answer) else parsed

        fault = self.faults.pick(route.api, route.endpoint, numbers)
        answer = self._refusal(request, route) or (
            parsed if isinstance(parsed, Answer) else self._compute(route, parsed)
        )
        bought, charge = answer.bought, answer.charge
        if fault is not None and not fault.buys:
            bought, charge = (), Decimal(0)
        status = answer.status if fault is None else fault.sent_status(answer.status)
        # The purchase is filed before the answer leaves: who has the answer finds it in the account, and a
        # lost answer is there too.
        kind = "" if fault is None else fault.kind
        self.account.record(
            Request(
                route.api,
                route.endpoint,
                numbers,
                status,
                now,
                bool(bought),
                kind,
                route.tail if route.endpoint == "details" else "",
            ),
            bought,
            charge,
        )
        if self.settings.latency_ms:
            await asyncio.sleep(self.settings.latency_ms / 1000)
        if fault is not None:
            return await deliver(request, fault, route.api, answer)
        return reply(answer.status, answer.body(), headers=answer.headers)

    def _refusal(self, request: web.BaseRequest, route: Route) -> Answer | None:
        """What is wrong with a request before its numbers are looked at."""
        settings, letters = self.settings, prefix(route.api)
        if route.method is None:
            return failure(404, f"{letters}404", f"{letters}404", "Route not found")
        if len(request.raw_path) > LONGEST_URL:
            return failure(414, f"{letters}414", "URI_TOO_LONG", "Request URI too long")
        if request.method != route.method:
            return failure(405, f"{letters}405", "METHOD_NOT_ALLOWED", "Method not allowed")
        if route.sid != settings.sid or request.headers.get("api-key") != settings.api_key:
            # Neither this answer nor the next is on Kaleyra's pages.
            return failure(401, f"{letters}401", "UNAUTHORIZED", "Invalid api-key or sid")
        if settings.allowed_addresses is not None and request.remote not in settings.allowed_addresses:
            return failure(403, f"{letters}403", "FORBIDDEN", "The api-key is not allowed from this address")
        if not self.window.admit(settings.requests_per_second):
            return failure(
                429, f"{letters}429", "TOO_MANY_REQUESTS", "Too many requests", {"Retry-After": "1"}
            )
        if route.api == "rcs" and not settings.rcs_enabled:
            return failure(401, "RCS601", "RCS_CHANNEL_DISABLED", "RCS Channel is not enabled for this User")
        header = "Accept" if route.endpoint == "single" else "Content-Type"
        if "application/json" not in request.headers.get(header, "").lower():
            return failure(400, f"{letters}400", "INVALID_HEADER", f"{header} must be application/json")
        return None

    def _compute(self, route: Route, numbers: tuple[str, ...]) -> Answer:
        if route.endpoint == "single":
            return answers.single(numbers)
        if route.endpoint == "details":
            settings = self.settings
            return self.submissions.details(
                route.tail,
                settings.price,
                settings.details_seconds,
                settings.details_shape,
                settings.pending_shape,
            )
        if route.endpoint == "submit":
            return self.submissions.submit(numbers, self.settings.price, url_key(self.settings.api_key))
        if route.endpoint == "bulk":
            return answers.bulk(numbers, self.settings.bulk_shape)
        return answers.get_lookup(numbers, self.settings.price)

    def _control(self, method: str, path: str, body: bytes) -> web.Response:
        match method, path.rstrip("/"):
            case "GET", "/purchases":
                return _json(200, self.account.summary())
            case "GET", "/requests":
                return _json(200, [asdict(request) for request in self.account.requests])
            case "GET", "/faults":
                return _json(200, {name: asdict(kind) for name, kind in KINDS.items()})
            case "POST", "/faults":
                try:
                    document = json.loads(body)
                    faults = [
                        Fault(**item) for item in (document if isinstance(document, list) else [document])
                    ]
                except (ValueError, TypeError) as error:
                    return _json(400, {"error": str(error)})
                self.faults.add(*faults)
                return _json(201, {"added": len(faults)})
            case "POST", "/settings":
                try:
                    self.settings.change(json.loads(body))
                except (ValueError, AttributeError) as error:
                    return _json(400, {"error": str(error)})
                return _json(200, {})
            case "DELETE", "/faults":
                self.faults.clear()
                return _json(200, {})
            case "POST", "/reset":
                self.reset()
                return _json(200, {})
        return _json(
            404, {"error": "GET purchases, requests, faults; POST faults, settings, reset; DELETE faults"}
        )


def _json(status: int, document: Any) -> web.Response:
    return reply(status, json.dumps(document).encode())
