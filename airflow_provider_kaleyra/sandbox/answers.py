"""The bodies that the two services answer with. Pure functions: no HTTP, no account."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from airflow_provider_kaleyra.sandbox.account import Api
from airflow_provider_kaleyra.sandbox.models import E164, Operator, Subscriber, subscriber

INVALID_NUMBER = "Please enter a valid mobile number with country code."
BULK_MINIMUM, BULK_MAXIMUM = 100, 500


@dataclass(slots=True)
class Answer:
    """A computed answer: what is sent unless a fault intervenes, and the numbers that it bought.

    `wrapped`: whether the envelope comes in an outer `data`, as that of POST API Lookup does.
    """

    status: int
    envelope: dict[str, Any]
    bought: tuple[str, ...] = ()
    charge: Decimal = Decimal(0)
    headers: dict[str, str] = field(default_factory=dict)
    wrapped: bool = False

    def body(self, envelope: dict[str, Any] | None = None) -> bytes:
        """The bytes of this envelope, or of another one in its place."""
        encoded = encode(self.envelope if envelope is None else envelope)
        return b'{"data": ' + encoded + b"}" if self.wrapped else encoded


def encode(envelope: dict[str, Any]) -> bytes:
    """JSON, in which a Decimal looks as a price does on Kaleyra's page: a float in 17 digits, with noise."""
    members = (
        f"{json.dumps(key)}: {float(value):.17g}"
        if isinstance(value, Decimal)
        else f"{json.dumps(key)}: {json.dumps(value)}"
        for key, value in envelope.items()
    )
    return ("{" + ", ".join(members) + "}").encode()


def failure(
    status: int, code: str, error_code: str, message: str, headers: dict[str, str] | None = None
) -> Answer:
    """A failure in Kaleyra's envelope."""
    error = {"error_code": error_code, "error_message": message}
    envelope = {"code": code, "message": message, "data": [], "error": error}
    return Answer(status, envelope, headers=headers or {})


def prefix(api: Api) -> str:
    """The letters that the API's codes begin with."""
    return "RCS" if api == "rcs" else "LKP"


def with_plus(text: str) -> str:
    """The text with a `+` in front where that makes it E.164, else as it is."""
    return "+" + text if E164.fullmatch("+" + text) else text


def distinct_numbers(entries: Sequence[str]) -> list[str]:
    """The E.164 numbers among the entries, each once, in order."""
    return list(dict.fromkeys(entry for entry in entries if E164.fullmatch(entry)))


def rcs_record(person: Subscriber) -> dict[str, Any]:
    """One number as the RCS endpoints describe it."""
    return {
        "deviceAddress": person.number,
        "carrierId": person.current.brand,
        "carrierStatus": person.carrier_status,
        "rcsEnabled": person.rcs_enabled,
    }


def number_record(person: Subscriber, lookup_id: str) -> dict[str, Any]:
    """One number as the number lookup describes it.

    As on Kaleyra's page, the original codes are there only where the number is ported.
    """
    nowhere = Operator("", "", "", "")
    original = person.original if person.is_ported else nowhere
    roaming = person.roaming or nowhere
    return {
        "lookup_id": lookup_id,
        "mobile_number": person.number[1:],
        "country": person.country,
        "country_code": person.country_code,
        "current_mcc": person.current.mcc,
        "current_mnc": person.current.mnc,
        "current_operator": person.current.name,
        "original_mcc": original.mcc,
        "original_mnc": original.mnc,
        "original_operator": person.original.name,
        "roaming_mcc": roaming.mcc,
        "roaming_mnc": roaming.mnc,
        "roaming_opearator": roaming.name,
        "is_ported": int(person.is_ported),
    }


def single(entries: Sequence[str]) -> Answer:
    """Endpoint 1, Single Device Lookup."""
    if not entries or not entries[0].strip():
        message = "device_address is required"
        return failure(400, "RCS702", "MISSING_REQUIRED_PARAMS", message)
    number = entries[0]
    if not E164.fullmatch(number) or not (person := subscriber(number)).assigned:
        return failure(400, "RCS704", "INVALID_FIELD_FORMAT", INVALID_NUMBER)
    envelope = {
        "code": "RCS702",
        "message": "Device Lookup successful",
        "data": rcs_record(person),
        "error": {},
    }
    return Answer(200, envelope, (number,))


def bulk(entries: Sequence[str], shape: str) -> Answer:
    """Endpoint 2, Bulk Device Lookup; `shape` is `list` or `object`, as nobody knows which it is."""
    numbers = distinct_numbers(entries)
    if not BULK_MINIMUM <= len(numbers) <= BULK_MAXIMUM:
        # The page gives the limits and no code; RCS904 is a 400 that Kaleyra's pages leave without a meaning.
        message = f"deviceAddresses must hold {BULK_MINIMUM} to {BULK_MAXIMUM} unique valid numbers"
        return failure(400, "RCS904", "INVALID_FIELD_VALUE", message)
    people = [person for person in map(subscriber, numbers) if person.assigned]
    records = [rcs_record(person) for person in people]
    data = records if shape == "list" else {"devices": records}
    envelope = {"code": "RCS702", "message": "Device Lookup successful", "data": data, "error": {}}
    return Answer(200, envelope, tuple(person.number for person in people))


def get_lookup(entries: Sequence[str], price: Decimal) -> Answer:
    """Endpoint 3, GET API Lookup; each number found costs `price`."""
    if not any(entry.strip() for entry in entries):
        return failure(400, "LKP400", "MISSING_REQUIRED_PARAMS", "mobile number is required")
    valid = [entry for entry in entries if E164.fullmatch(entry)]
    numbers = distinct_numbers(valid)
    people = [person for person in map(subscriber, numbers) if person.assigned]
    request_id = f"sandbox{uuid.uuid4().hex}"
    envelope = {
        "code": "LKP200",
        "message": "Request processed successfully",
        "price": price * len(people),
        "id": request_id,
        "total_processed_count": len(people),
        "data": [number_record(person, f"{request_id}:{n}") for n, person in enumerate(people, 1)],
        "invalid_count": len(entries) - len(valid) + len(numbers) - len(people),
        "duplicate_count": len(valid) - len(numbers),
    }
    return Answer(200, envelope, tuple(person.number for person in people), price * len(people))
