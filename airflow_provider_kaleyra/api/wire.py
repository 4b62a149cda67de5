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
from functools import lru_cache
from itertools import chain
from typing import Any, Generic
from urllib.parse import quote

from airflow_provider_kaleyra.api.config import ClientConfig
from airflow_provider_kaleyra.api.models import DeviceLookup, LookupT, NumberLookup
from airflow_provider_kaleyra.api.money import parse_price, share
from airflow_provider_kaleyra.api.retry import parse_retry_after
from airflow_provider_kaleyra.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    InvalidNumberError,
    KaleyraError,
    NotE164Error,
    RateLimitedError,
    RcsChannelDisabledError,
    ServiceError,
    SetupError,
    UnreadableAnswerError,
)

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
                    rcs_enabled=_flag(record.get("rcsenabled")),
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
        "is_ported": _flag(record.get("isported")),
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


def folded(value: object) -> dict[str, Any]:
    """Fold an object's keys, so that their letter case and underscores don't matter."""
    return {_folded_key(key): item for key, item in value.items()} if isinstance(value, dict) else {}


@lru_cache(maxsize=1000)
def _folded_key(key: str) -> str:
    return key.lower().replace("_", "")


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


def error_of(response: Response, envelope: Mapping[str, Any] | None) -> KaleyraError | None:
    """Tell what an answer's status, code and ``error`` together mean; ``None`` for success."""
    status = response.status
    details: dict[str, Any] = {"status": status, "request_id": response.headers.get("x-request-id")}
    retry_after = parse_retry_after(response.headers.get("Retry-After"), response.at)
    if envelope is None:
        return _error_without_envelope(status, retry_after, details)
    code = str(envelope["code"]).strip().upper()
    # An error whose fields are all empty is none.
    error = {key: value for key, value in folded(envelope.get("error")).items() if value}
    kind = str(error.get("errorcode") or "").strip().upper()
    details |= {
        "code": text_of(envelope["code"]),
        "vendor_message": _words(error.get("errormessage")) or _words(envelope.get("message")),
    }
    if 200 <= status < 300 and not error and not _FAILURE.fullmatch(code):
        return None
    if code == "RCS601" or kind == "RCS_CHANNEL_DISABLED":
        return RcsChannelDisabledError(
            "The RCS channel is not enabled on this account: ask your Kaleyra representative for it",
            **details,
        )
    if kind == "PROV_ERROR":
        return ServiceError("The carrier behind Kaleyra reported an error", **details)
    if kind == "INVALID_FIELD_FORMAT" and code == "RCS704":
        return InvalidNumberError("Kaleyra takes this for no phone number with a country code", **details)
    if code == "RCS404" or kind == "RCS404" or status == 405:
        return _no_route(details)
    return _error_by_status(status, retry_after, details) or BadRequestError(
        "Kaleyra refused the request", **details
    )


# RCS702 stands with success and with failure; the codes of success for the other endpoints are open.
_FAILURE = re.compile("(RCS|LKP)[45][0-9]{2}|RCS(601|701|704|904)")


def _error_by_status(status: int, retry_after: float | None, details: dict[str, Any]) -> KaleyraError | None:
    if status == 401:
        return AuthenticationError(
            "Kaleyra refused the account SID or API key: check login and password of the connection, that "
            "the key is active, and that pod and rcs_pod are the account's",
            **details,
        )
    if status == 403:
        return AuthenticationError(
            "Kaleyra refused to serve this address or API key: check that the key's allow-list has the "
            "address that this machine is seen from, and that the account may use this API",
            **details,
        )
    if status == 402:
        return SetupError("Kaleyra asks for payment: is there credit left on the account?", **details)
    if status == 429 or (status == 503 and retry_after is not None):
        return RateLimitedError("Kaleyra asked to come back later", retry_after=retry_after, **details)
    if status >= 500:
        return ServiceError("Kaleyra reported an error of its own", **details)
    return None


def _error_without_envelope(status: int, retry_after: float | None, details: dict[str, Any]) -> KaleyraError:
    if status in (404, 405):
        return _no_route(details)
    if status in (413, 414):
        return BadRequestError("The request is too long for a gateway before Kaleyra", **details)
    known = _error_by_status(status, retry_after, details)
    if known is None or isinstance(known, ServiceError):
        # Only Kaleyra itself can say that it bought nothing.
        return UnreadableAnswerError("An answer came that is not one of Kaleyra's", **details)
    return known


def _no_route(details: dict[str, Any]) -> ConfigurationError:
    return ConfigurationError(
        "The service knows no such route: check host, pod, rcs_pod and rcs_host of the connection", **details
    )


def number_of(value: object) -> str:
    """Give digits as E.164, and what is no digits as empty text."""
    digits = str(value if value is not None else "").strip().removeprefix("+")
    return f"+{digits}" if digits.isascii() and digits.isdigit() else ""


def _words(value: object) -> str | None:
    """Give what the service says, without URLs: the one of an answer's own details holds a key."""
    return re.sub(r"\S+://\S+", "(URL)", text_of(value) or "") or None


def text_of(value: object) -> str | None:
    """Give a value as text that every database takes; no text is ``None``."""
    return None if value is None or isinstance(value, (dict, list)) else _clean(str(value))


@lru_cache(maxsize=1000)
def _clean(text: str) -> str | None:
    # What no database takes (NUL, lone surrogates) becomes U+FFFD.
    text = text.replace("\0", "\ufffd")
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.strip() or None


def integer_of(value: object) -> int | None:
    """Give a small whole number, written as one or as text."""
    text = str(value if value is not None else "").strip().removeprefix("+")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else _FLAGS.get(str(value).strip().lower())


_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
