"""Answers that come later: what a POST API Lookup promised, and what became of it.

Kaleyra's page on Lookup Details by Lookup ID is not known. Whatever might mean that an answer is still to
come does mean it here, and nothing unknown is success.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_kaleyra.api.failures import error_of
from airflow_provider_kaleyra.api.models import Details, NumberLookup
from airflow_provider_kaleyra.api.money import parse_price, share
from airflow_provider_kaleyra.api.values import folded, integer_of, number_of, text_of
from airflow_provider_kaleyra.api.wire import (
    Parsed,
    Response,
    asked_for,
    envelope_of,
    lookup_id_of,
    number_fields,
    read_envelope,
    records_of,
)
from airflow_provider_kaleyra.errors import (
    BadRequestError,
    ConfigurationError,
    RateLimitedError,
    ServiceError,
    SetupError,
)

EXPIRED = "lookup_expired"
_WAITING = frozenset({"pending", "processing", "inprogress", "queued", "accepted", "submitted"})
_ACCEPTED = frozenset({"LKP201", "LKP202"})
_DEEPEST = 4


def parse_submission(response: Response, numbers: Sequence[str]) -> Parsed[NumberLookup]:
    """Read the answer to a POST API Lookup: pending lookups with their ids.

    The ``url`` of a record holds a key: of a record only number and id are read.

    :raises KaleyraError: for an answer that holds no lookups.
    """
    envelope = envelope_of(response)
    found = [
        (number_of(record.get("mobilenumber")), lookup_id)
        for record in records_of(envelope.get("data"))
        for lookup_id in [lookup_id_of(record)]
        if lookup_id
    ]
    ids, ignored = asked_for(found, numbers)
    price = parse_price(envelope.get("price"))
    shares: Iterable[Any] = share(price, len(ids)) if price is not None and ids else [None] * len(ids)
    code = text_of(envelope.get("code"))
    return Parsed(
        {
            number: NumberLookup(
                phone_number=number, status="pending", lookup_id=own, response_code=code, price=part
            )
            for (number, own), part in zip(ids.items(), shares, strict=True)
        },
        ignored,
        refused=integer_of(envelope.get("invalidcount")) or 0,
        price=price,
        id=lookup_id_of({"lookupid": envelope.get("id")}),
    )


def parse_details(response: Response, lookup_id: str, number: str | None) -> Details:
    """Read the answer to a GET Lookup Details by Lookup ID.

    :param number: the E.164 number that was submitted, where it is known: only a record of it counts.
    :raises ConfigurationError: if the path is wrong.
    :raises KaleyraError: if the service cannot or will not answer now.
    """
    status = response.status
    envelope = read_envelope(response.body)
    error = error_of(response, envelope)
    if _no_route(response, envelope):
        raise ConfigurationError(
            "The service knows no such route: the path of GET Lookup Details is not documented; set the "
            "connection's extra lookup_details_path to the one that your account has",
            status=status,
            code=error.code if error else None,
        )
    if status == 410 or (status == 400 and envelope is not None and isinstance(error, BadRequestError)):
        return Details(_refused(error, lookup_id, number, expired=status == 410))
    if status == 404:
        return Details(unknown=True)
    if 200 <= status < 300:
        said_no = envelope is not None and error is not None
        return Details(None if status == 202 or said_no else _lookup(response.body, lookup_id, number))
    if error is None or (
        400 <= status < 500 and not isinstance(error, (SetupError, RateLimitedError, ServiceError))
    ):
        return Details()
    raise error


def _no_route(response: Response, envelope: Mapping[str, Any] | None) -> bool:
    code = str((envelope or {}).get("code", "")).strip().upper()
    kind = str(folded((envelope or {}).get("error")).get("errorcode", "")).strip().upper()
    return (
        "RCS404" in (code, kind)
        or response.status == 405
        or (response.status == 404 and b"route" in response.body.lower())
    )


def _refused(error: Any, lookup_id: str, number: str | None, *, expired: bool) -> NumberLookup:
    return NumberLookup(
        phone_number=number or "",
        status="failed",
        reason=EXPIRED if expired else BadRequestError.lookup_reason,
        response_code=error.code if error else None,
        error_message=str(error) if error else None,
        lookup_id=lookup_id,
    )


def _lookup(body: bytes, lookup_id: str, number: str | None) -> NumberLookup | None:
    """Find the answer to an id, if there is one; anything else is pending."""
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError):
        return None
    objects = list(_objects(decoded, _DEEPEST))
    codes = [code for item in objects if (code := text_of(item.get("code")))]
    if any(code.upper() in _ACCEPTED for code in codes):
        return None
    answers = [(record, number_fields(record)) for record in objects]
    answers = [(record, found) for record, found in answers if _is_answer(record, found)]
    for record, found in answers:
        own = number_of(record.get("mobilenumber"))
        # By its number where both sides name one, else by its id.
        ours = own == number if own and number else found["lookup_id"] in (None, lookup_id)
        if ours and (own or number):
            # The price beside several records is that of all of them.
            named = (item.get("price") for item in ([record, *objects] if len(answers) == 1 else [record]))
            return NumberLookup(
                phone_number=number or own,
                response_code=codes[0] if codes else None,
                price=next((price for text in named if (price := parse_price(text)) is not None), None),
                **{**found, "lookup_id": lookup_id},
            )
    return None


def _objects(value: object, depth: int) -> Iterator[dict[str, Any]]:
    """Yield the objects of an answer, its keys folded: itself, and what its ``data`` is or lists."""
    if isinstance(value, list):
        for item in value:
            yield from _objects(item, depth)
    elif isinstance(value, Mapping) and depth:
        item = folded(value)
        yield item
        yield from _objects(item.get("data"), depth - 1)


def _is_answer(record: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    if str(record.get("status", "")).strip().lower().replace("_", "").replace(" ", "") in _WAITING:
        return False
    return any(
        value for name, value in found.items() if name == "country" or name.endswith(("_mcc", "_operator"))
    )
