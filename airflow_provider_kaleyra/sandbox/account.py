"""What was requested and what was bought: the truth that a client's own books are checked against."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Api = Literal["rcs", "number"]
Endpoint = Literal["single", "bulk", "get", "submit", "details", "unknown"]


@dataclass(frozen=True, slots=True)
class Request:
    """One API request.

    `numbers` are those of the request in its order, repeated ones too, with a missing `+` added; text that is
    no number stands as it came. `lookup_id` is that of a question by id. `status` is what the client was
    sent, 0 if nothing was. `at` is in epoch seconds. `fault` is the kind of the fault that the request met,
    or empty.
    """

    api: Api
    endpoint: Endpoint
    numbers: tuple[str, ...]
    status: int
    at: float
    purchased: bool
    fault: str = ""
    lookup_id: str = ""


class Account:
    """Requests, purchases and charges since the start or the last reset. Safe to read from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._requests: list[Request] = []
            self._purchases: dict[Api, Counter[str]] = {"rcs": Counter(), "number": Counter()}
            self._charged = Decimal(0)

    def record(self, request: Request, bought: Iterable[str], charge: Decimal) -> None:
        """File one request, the numbers it bought and what they cost, all at once."""
        with self._lock:
            self._requests.append(request)
            self._purchases[request.api].update(bought)
            self._charged += charge

    @property
    def requests(self) -> list[Request]:
        """Every API request in the order of arrival, as a copy."""
        with self._lock:
            return list(self._requests)

    @property
    def purchases(self) -> dict[Api, Counter[str]]:
        """How often each number was bought, by API, as a copy: `purchases["rcs"]["+919812345678"]`."""
        with self._lock:
            return {api: Counter(counts) for api, counts in self._purchases.items()}

    @property
    def charged(self) -> Decimal:
        """What all number lookups cost, exactly. RCS lookups are purchases without a price."""
        with self._lock:
            return self._charged

    def summary(self) -> dict[str, object]:
        """The account as `GET /sandbox/purchases` shows it."""
        with self._lock:
            purchases = {api: dict(counts) for api, counts in self._purchases.items()}
            return {"requests": len(self._requests), "purchases": purchases, "charged": str(self._charged)}


class Window:
    """A sliding second: says whether one more request fits into the rate. For one thread."""

    def __init__(self) -> None:
        self._admitted: deque[float] = deque()

    def admit(self, limit: float | None) -> bool:
        """Whether a request may pass now; one that may not does not count against the next."""
        if limit is None:
            return True
        now = time.monotonic()
        while self._admitted and now - self._admitted[0] >= 1:
            self._admitted.popleft()
        if len(self._admitted) >= limit:
            return False
        self._admitted.append(now)
        return True
