"""How a fault looks on the wire: spoilt bodies (pure functions), and connections that break (the rest)."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Sequence
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from aiohttp import web

from airflow_provider_kaleyra.sandbox.account import Api
from airflow_provider_kaleyra.sandbox.answers import (
    Answer,
    encode,
    failure,
    number_record,
    prefix,
    rcs_record,
)
from airflow_provider_kaleyra.sandbox.faults import Fault
from airflow_provider_kaleyra.sandbox.later import gone, not_found, still_pending
from airflow_provider_kaleyra.sandbox.models import subscriber

JSON = "application/json"
HANG_SECONDS = 3600.0
DRIP_SECONDS = 0.05
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def reply(
    status: int, body: bytes, content_type: str = JSON, headers: dict[str, str] | None = None
) -> web.Response:
    """A plain HTTP response."""
    return web.Response(status=status, body=body, headers={"Content-Type": content_type, **(headers or {})})


def _records(envelope: dict[str, Any]) -> list[dict[str, Any]]:
    data = envelope["data"]
    if isinstance(data, dict):
        return list(data["devices"]) if "devices" in data else [data]
    return list(data)


def _with_records(envelope: dict[str, Any], records: list[dict[str, Any]]) -> dict[str, Any]:
    """The same envelope around other records; a single device's `data` stays an object as long as it can."""
    data: Any = records
    if isinstance(envelope["data"], dict):
        if "devices" in envelope["data"]:
            data = {"devices": records}
        elif len(records) < 2:
            data = records[0] if records else {}
    return {**envelope, "data": data}


def _stranger(api: Api, index: int) -> dict[str, Any]:
    person = subscriber(f"+1202555{index:04d}")
    return rcs_record(person) if api == "rcs" else number_record(person, f"stranger:{index}")


def _number_in(record: dict[str, Any]) -> str:
    return str(record["deviceAddress"]) if "deviceAddress" in record else f"+{record['mobile_number']}"


def _respelt_record(record: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    record = dict(record)
    if "is_ported" in changes and "is_ported" in record:
        record["is_ported"] = str(record["is_ported"])
    if "country_code" in changes and "country_code" in record:
        record["country_code"] = str(record["country_code"])
    if "rcs_enabled" in changes and record.get("rcsEnabled") is not None:
        record["rcsEnabled"] = str(record["rcsEnabled"]).upper()
    if "letters" in changes:
        for key in {"country", "carrierStatus"} & record.keys():
            record[key] = record[key].lower()
    if "roaming_operator" in changes and "roaming_opearator" in record:
        record["roaming_operator"] = record.pop("roaming_opearator")
    return {key.upper(): value for key, value in record.items()} if "keys" in changes else record


def _respelt(envelope: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    envelope = _with_records(envelope, [_respelt_record(record, changes) for record in _records(envelope)])
    if "code" in changes:
        envelope["code"] = envelope["code"].lower()
    if "price" in envelope:
        if "price_text" in changes:
            envelope["price"] = str(envelope["price"])
        if "price_zero" in changes:
            envelope["price"] = Decimal(0)
        if "price_huge" in changes:
            envelope["price"] = Decimal(10**12)
        if "price_missing" in changes:
            del envelope["price"]
    return envelope


def spoilt(fault: Fault, api: Api, answer: Answer) -> dict[str, Any]:
    """The computed answer's envelope as the fault has it; a refusal has no numbers to play with and stays."""
    envelope = answer.envelope
    if answer.status not in (HTTPStatus.OK, HTTPStatus.CREATED) or "data" not in envelope:
        return envelope
    records = _records(envelope)
    match fault.kind:
        case "missing" if fault.number is not None:
            return _with_records(envelope, [r for r in records if _number_in(r) != fault.number])
        case "missing":
            return _with_records(envelope, records[fault.count :])
        case "extra":
            return _with_records(envelope, records + [_stranger(api, n) for n in range(fault.count)])
        case "reordered":
            return _with_records(envelope, records[::-1])
        case "repeated":
            return _with_records(envelope, records + records[: fault.count])
        case "other_case":
            return _respelt(envelope, fault.changes)
    return envelope


def _error(fault: Fault, api: Api, status: int) -> bytes:
    code, title = f"{prefix(api)}{status}", HTTPStatus(status).phrase
    if fault.kind == "prov_error":
        code, reason, title = f"{prefix(api)}704", "PROV_ERROR", "Device lookup failed"
    else:
        reason = title.upper().replace(" ", "_")
    return encode(failure(status, code, reason, title).envelope)


def _html(status: int) -> bytes:
    title = f"{status} {HTTPStatus(status).phrase}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    ).encode()


def _reset(request: web.BaseRequest) -> web.Response:
    """Close with a TCP reset; the response is for aiohttp, which finds nobody to send it to."""
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
        )
        request.transport.abort()
    return web.Response()


async def _broken_off(request: web.BaseRequest, status: int, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers={"Content-Type": JSON})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    # An orderly close: a reset could overtake the first half, and then nothing of it would be read.
    if request.transport is not None:
        request.transport.close()
    return response


async def _dripped(request: web.BaseRequest, status: int, body: bytes, pause: float) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers={"Content-Type": JSON})
    response.content_length = len(body)
    await response.prepare(request)
    for byte in body:
        await response.write(bytes([byte]))
        await asyncio.sleep(pause)
    return response


async def deliver(request: web.BaseRequest, fault: Fault, api: Api, answer: Answer) -> web.StreamResponse:
    """Answer the request as the fault has it."""
    status = fault.sent_status(answer.status)
    match fault.kind:
        case "refuse" | "reset":
            return _reset(request)
        case "hang":
            await asyncio.sleep(HANG_SECONDS if fault.seconds is None else fault.seconds)
            return _reset(request)
        case "reset_mid_body":
            return await _broken_off(request, status, answer.body())
        case "drip":
            pause = DRIP_SECONDS if fault.seconds is None else fault.seconds
            return await _dripped(request, status, answer.body(), pause)
        case "429" | "json_error" | "prov_error":
            return reply(status, _error(fault, api, status), headers=fault.headers())
        case "html_error":
            return reply(status, _html(status), "text/html", fault.headers())
        case "truncated":
            body = answer.body()
            return reply(status, body[: len(body) // 2])
        case "wrong_json":
            return reply(status, json.dumps({"status": "ok", "result": [1, 2, 3]}).encode())
        case "empty":
            return reply(status, b"")
        case "redirect":
            return reply(status, b"", headers=fault.headers())
        case "pending":
            return reply(status, still_pending("202", "", "").body())
        case "not_found":
            return reply(status, not_found().body())
        case "gone":
            return reply(status, gone().body())
    return reply(status, answer.body(spoilt(fault, api, answer)))
