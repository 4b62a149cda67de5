"""What an answer that is no success means: the error that it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.api.retry import parse_retry_after
from airflow_provider_kaleyra.api.values import folded, text_of, words_of
from airflow_provider_kaleyra.errors import (
    AmbiguousOutcomeError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    InvalidNumberError,
    KaleyraError,
    RateLimitedError,
    RcsChannelDisabledError,
    ServiceError,
    SetupError,
    UnreadableAnswerError,
)

if TYPE_CHECKING:
    from airflow_provider_kaleyra.api.wire import Response


def error_of(response: Response, envelope: Mapping[str, Any] | None) -> KaleyraError | None:
    """Tell what an answer's status, code and ``error`` together mean; ``None`` for success."""
    status = response.status
    details: dict[str, Any] = {"status": status, "request_id": text_of(response.headers.get("x-request-id"))}
    retry_after = parse_retry_after(response.headers.get("Retry-After"), response.at)
    if envelope is None:
        return _error_without_envelope(status, retry_after, details)
    code = str(envelope["code"]).strip().upper()
    # An error whose fields are all empty is none.
    error = {key: value for key, value in folded(envelope.get("error")).items() if value}
    kind = str(error.get("errorcode") or "").strip().upper()
    details |= {
        "code": text_of(envelope["code"]),
        "vendor_message": words_of(error.get("errormessage")) or words_of(envelope.get("message")),
    }
    if 200 <= status < 300 and not error and not _FAILURE.fullmatch(code):
        return None
    if code == "RCS601" or kind == "RCS_CHANNEL_DISABLED":
        return RcsChannelDisabledError(
            "The RCS channel is not enabled on this account: ask your Kaleyra representative for it",
            **details,
        )
    if status in (408, 504) or code == "RCS504":
        # Whoever waited in vain, Kaleyra or a gateway of its: the question was on its way.
        return AmbiguousOutcomeError(
            "Kaleyra reports a time-out: the request was sent, it may have been billed", **details
        )
    if kind == "PROV_ERROR":
        return ServiceError("The carrier behind Kaleyra reported an error", **details)
    if kind == "INVALID_FIELD_FORMAT" and code == "RCS704":
        return InvalidNumberError("Kaleyra takes this for no phone number with a country code", **details)
    if status == 409 or code == "RCS409":
        # It is about the request, not about its numbers: half of them would meet the same.
        return KaleyraError("Kaleyra reports a conflict with another request", **details)
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
