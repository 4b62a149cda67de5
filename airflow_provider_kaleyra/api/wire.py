"""Kaleyra's wire format: every path, header and JSON key, and nothing else.

``build_*`` make requests, ``parse_*`` read answers; all are pure. Where a shape is not documented the
readers accept what may come, and a body that is none of Kaleyra's is an
:class:`~airflow_provider_kaleyra.errors.UnreadableAnswerError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Any, Generic
from urllib.parse import quote

from airflow_provider_kaleyra.api.config import ClientConfig
from airflow_provider_kaleyra.api.failures import error_of
from airflow_provider_kaleyra.api.models import DeviceLookup, LookupT, NumberLookup
from airflow_provider_kaleyra.api.money import parse_price, share
from airflow_provider_kaleyra.api.values import flag_of, folded, integer_of, number_of, text_of
from airflow_provider_kaleyra.errors import NotE164Error, UnreadableAnswerError

BULK_LEAST, BULK_MOST = 100, 500
"""Unique numbers in one Bulk Device Lookup."""

NUMBERS_MOST = 500
"""Numbers in one GET API Lookup: undocumented; this many keep the URL under 8,000 characters."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, without the key, which the client adds."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str]
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer, as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    at: datetime


_HEADERS: Mapping[str, str] = {"Accept": "application/json", "Content-Type": "application/json"}


def key_header(api_key: str) -> dict[str, str]:
    """Give the header that holds the API key."""
    return {"api-key": api_key}


def build_checks(config: ClientConfig) -> dict[str, Request]:
    """For each service a question about no number, which cannot be billed."""
    return {
        "Number lookup": build_lookup_details(config, "0:0"),
        "RCS": Request("GET", f"{config.rcs_url}/v1/{config.sid}/rcs/lookup/%2B0", _HEADERS),
    }


def build_device_lookup(config: ClientConfig, number: str) -> Request:
    """Single Device Lookup of one E.164 number."""
    address = quote(_e164(number), safe="")
    return Request("GET", f"{config.rcs_url}/v1/{config.sid}/rcs/lookup/{address}", _HEADERS)


def build_devices_lookup(config: ClientConfig, numbers: Sequence[str]) -> Request:
    """Bulk Device Lookup of 100 to 500 E.164 numbers."""
    body = json.dumps({"deviceAddresses": [_e164(number) for number in numbers]}).encode()
    return Request("POST", f"{config.rcs_url}/v1/{config.sid}/rcs/lookup/bulk", _HEADERS, body)


def build_numbers_lookup(config: ClientConfig, numbers: Sequence[str]) -> Request:
    """GET API Lookup of E.164 numbers, sent without their ``+`` as on the documentation's page."""
    path = ",".join(_e164(number).removeprefix("+") for number in numbers)
    return Request("GET", f"{config.number_url}/v1/{config.sid}/lookup/{path}", _HEADERS)


def build_submission(config: ClientConfig, numbers: Sequence[str]) -> Request:
    """POST API Lookup of E.164 numbers, sent without their ``+`` as its answer has them."""
    body = json.dumps({"mobile": [_e164(number).removeprefix("+") for number in numbers]}).encode()
    return Request("POST", f"{config.number_url}/v1/{config.sid}/lookup", _HEADERS, body)


def build_lookup_details(config: ClientConfig, lookup_id: str) -> Request:
    """GET Lookup Details by Lookup ID."""
    path = config.lookup_details_path.replace("{sid}", config.sid)
    path = path.replace("{lookup_id}", quote(lookup_id, safe=":"))
    return Request("GET", config.number_url + path, _HEADERS)


def _e164(number: str) -> str:
    # A comma in a path would buy a second number, a missing country code a stranger's data.
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", number):
        raise NotE164Error("A number must be E.164, a plus and 7 to 15 digits: this one was not sent")
    return number


@dataclass(frozen=True, slots=True)
class Parsed(Generic[LookupT]):
    """The records of an answer by E.164 number, and how many were ignored.

    ``refused`` counts the numbers that the service says it took for none; which ones it does not say.
    """

    lookups: Mapping[str, LookupT]
    ignored: int = 0
    refused: int = 0
    price: Decimal | None = None
    id: str | None = None


def check(response: Response) -> None:
    """Raise for every answer but one that says success, whatever it holds."""
    envelope_of(response)


def parse_devices(response: Response, numbers: Sequence[str]) -> Parsed[DeviceLookup]:
    """Read the answer to a Single or Bulk Device Lookup.

    :raises KaleyraError: for an answer that holds no lookups.
    """
    envelope = envelope_of(response)
    code = text_of(envelope.get("code"))
    found: list[tuple[str, DeviceLookup]] = []
    for record in records_of(envelope.get("data")):
        number = number_of(record.get("deviceaddress"))
        found.append(
            (
                number,
                DeviceLookup(
                    phone_number=number,
                    response_code=code,
                    rcs_enabled=flag_of(record.get("rcsenabled")),
                    carrier_id=text_of(record.get("carrierid")),
                    carrier_status=text_of(record.get("carrierstatus")),
                ),
            )
        )
    lookups, ignored = asked_for(found, numbers)
    return Parsed(lookups, ignored)


def parse_numbers(response: Response, numbers: Sequence[str]) -> Parsed[NumberLookup]:
    """Read the answer to a GET API Lookup; its price is shared over the numbers it answers.

    :raises KaleyraError: for an answer that holds no lookups.
    """
    envelope = envelope_of(response)
    code = text_of(envelope.get("code"))
    found = [
        (number, {**number_fields(record), "response_code": code})
        for record in records_of(envelope.get("data"))
        for number in [number_of(record.get("mobilenumber"))]
    ]
    fields, ignored = asked_for(found, numbers)
    price = parse_price(envelope.get("price"))
    shares: Iterable[Any] = (
        share(price, len(fields)) if price is not None and fields else [None] * len(fields)
    )
    return Parsed(
        {
            number: NumberLookup(phone_number=number, price=part, **values)
            for (number, values), part in zip(fields.items(), shares, strict=True)
        },
        ignored,
        refused=integer_of(envelope.get("invalidcount")) or 0,
        price=price,
    )


def lookup_id_of(record: Mapping[str, Any]) -> str | None:
    """Give a folded record's id, unless it is a URL, which may hold a key."""
    text = text_of(record.get("lookupid"))
    return None if text and "://" in text else text


def number_fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """Read a folded record of the number lookup, but for its number."""
    networks = {
        f"{network}_{part}": text_of(record.get(f"{network}{part}"))
        for network in ("current", "original", "roaming")
        for part in ("mcc", "mnc", "operator")
    }
    # The documentation's page spells it so.
    networks["roaming_operator"] = networks["roaming_operator"] or text_of(record.get("roamingopearator"))
    return {
        "lookup_id": lookup_id_of(record),
        "country": text_of(record.get("country")),
        "country_code": integer_of(record.get("countrycode")),
        "is_ported": flag_of(record.get("isported")),
        **networks,
    }


def asked_for(found: Iterable[tuple[str, Any]], numbers: Sequence[str]) -> tuple[dict[str, Any], int]:
    """Keep the first record of each number that was asked for; count the others."""
    asked = set(numbers)
    kept: dict[str, Any] = {}
    ignored = 0
    for number, value in found:
        if number in asked and number not in kept:
            kept[number] = value
        else:
            ignored += 1
    return kept, ignored


def envelope_of(response: Response) -> dict[str, Any]:
    """Give a successful answer's envelope, its keys folded; raise for every other answer."""
    envelope = read_envelope(response.body)
    error = error_of(response, envelope)
    if error:
        raise error
    return envelope or {}


def read_envelope(body: bytes) -> dict[str, Any] | None:
    """Give Kaleyra's envelope, its keys folded; ``None`` if the body is no such thing."""
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError):
        return None
    envelope = folded(decoded)
    inner = envelope.get("data")
    if "code" not in envelope and isinstance(inner, Mapping):
        # POST API Lookup wraps its envelope in an outer "data".
        envelope = folded(inner)
    return envelope if isinstance(envelope.get("code"), str) else None


def records_of(data: object) -> list[dict[str, Any]]:
    """Give the records in an answer's ``data``: one object, a list of them, or an object holding a list."""
    if isinstance(data, Mapping):
        lists = [value for value in data.values() if isinstance(value, list)]
        bare = not lists or folded(data).keys() & _NUMBER_KEYS
        data = ([data] if data else []) if bare else list(chain(*lists))
    if not isinstance(data, list):
        raise UnreadableAnswerError("Kaleyra's answer says success and holds no data")
    records = [folded(record) for record in data]
    if records and not any(record.keys() & _NUMBER_KEYS for record in records):
        raise UnreadableAnswerError("Kaleyra's answer says success and names no number")
    return records


_NUMBER_KEYS = frozenset({"deviceaddress", "mobilenumber"})
