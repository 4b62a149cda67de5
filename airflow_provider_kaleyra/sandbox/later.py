"""Lookups that are answered later: what was submitted, and what a question by id is told."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any, Literal

from airflow_provider_kaleyra.sandbox.answers import Answer, distinct_numbers, failure, number_record
from airflow_provider_kaleyra.sandbox.models import E164, subscriber

DetailsShape = Literal["list", "object", "flat", "wrapped"]
PendingShape = Literal["202", "404", "empty", "bare"]
# Kaleyra's page on the details is not known: these are the shapes that its other pages make likely.
DETAILS_SHAPES: tuple[DetailsShape, ...] = ("list", "object", "flat", "wrapped")
PENDING_SHAPES: tuple[PendingShape, ...] = ("202", "404", "empty", "bare")


@dataclass(frozen=True, slots=True)
class _Submitted:
    number: str
    at: float


def url_key(api_key: str) -> str:
    """The key in the URLs of a submission's answer: it opens nothing, and nobody may repeat it."""
    return "A" + sha256(api_key.encode()).hexdigest()[:32]


class Submissions:
    """The lookups submitted since the start or the last reset. For one thread."""

    def __init__(self) -> None:
        self._submitted: dict[str, _Submitted] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._submitted.clear()

    def number(self, lookup_id: str) -> str | None:
        """The number that an id is about."""
        found = self._submitted.get(lookup_id)
        return found.number if found else None

    def submit(self, entries: Sequence[str], price: Decimal, key: str) -> Answer:
        """Endpoint 4, POST API Lookup; each number that somebody has is accepted, and costs `price`."""
        valid = [entry for entry in entries if E164.fullmatch(entry)]
        people = [person for person in map(subscriber, distinct_numbers(valid)) if person.assigned]
        if not valid:
            return failure(400, "LKP400", "MISSING_REQUIRED_PARAMS", "mobile number is required")
        request_id = f"sandbox{uuid.uuid4().hex}"
        records = []
        for index, person in enumerate(people, 1):
            lookup_id = f"{request_id}:{index}"
            self._submitted[lookup_id] = _Submitted(person.number, time.monotonic())
            url = f"https://api.in.kaleyra.io/api/v1/{key}/lookup/get-info/{lookup_id}"
            records.append({"lookup_id": lookup_id, "mobile_number": person.number[1:], "url": url})
        envelope: dict[str, Any] = {
            "code": "LKP201",
            "message": "Request accepted successfully",
            "id": request_id,
            "total_processed_count": len(people),
            "data": records,
            "invalid_count": len(entries) - len(people),
        }
        bought = tuple(person.number for person in people)
        return Answer(201, envelope, bought, price * len(people), wrapped=True)

    def details(
        self, lookup_id: str, price: Decimal, seconds: float, shape: DetailsShape, pending: PendingShape
    ) -> Answer:
        """Endpoint 5, GET Lookup Details by Lookup ID: pending until `seconds` after it was submitted."""
        submitted = self._submitted.get(lookup_id)
        if submitted is None:
            return not_found()
        if time.monotonic() - submitted.at < seconds:
            return still_pending(pending, lookup_id, submitted.number)
        record = number_record(subscriber(submitted.number), lookup_id)
        head = {"code": "LKP200", "message": "Request processed successfully", "price": price}
        if shape == "flat":
            return Answer(200, {**head, **record})
        data = record if shape == "object" else [record]
        envelope = {**head, "id": lookup_id.partition(":")[0], "total_processed_count": 1, "data": data}
        return Answer(200, envelope, wrapped=shape == "wrapped")


def not_found() -> Answer:
    """No such id: not yet, not any more, or never."""
    return failure(404, "LKP404", "LOOKUP_NOT_FOUND", "No such lookup")


def gone() -> Answer:
    """The id is too old."""
    return failure(410, "LKP410", "LOOKUP_EXPIRED", "Lookup has expired")


def still_pending(shape: PendingShape, lookup_id: str, number: str) -> Answer:
    """An answer that is still to come, in one of the shapes that may say so."""
    if shape == "404":
        return not_found()
    record = {"lookup_id": lookup_id, "mobile_number": number[1:]}
    head = {"code": "LKP200", "message": "Request is being processed"}
    return Answer(202 if shape == "202" else 200, {**head, "data": [record] if shape == "bare" else []})
