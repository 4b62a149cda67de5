"""Every error this package raises on Kaleyra's account, as one tree.

::

    KaleyraError                    status, code, vendor_message, request_id
    ├── SetupError                  no request can succeed until a person acts: the task fails at once
    │   ├── ConfigurationError      a connection field or a parameter is wrong, or the route does not exist
    │   ├── AuthenticationError     wrong account SID or API key, or a key not allowed from here
    │   └── RcsChannelDisabledError the account has no RCS channel
    ├── BadRequestError             the service refused the request as such; nothing was bought
    │   └── InvalidNumberError      it refused the number
    │       └── NotE164Error        the number is not written as E.164, and was never sent
    ├── RateLimitedError            it asked to come back later (retry_after)
    ├── ServiceError                it, or the carrier behind it, reported a failure of its own
    ├── NothingSentError            no byte of the request left: no connection, no name, no TLS
    └── AmbiguousOutcomeError       the request left and its answer was lost: it may have been billed
        ├── UnreadableAnswerError   an answer came, but not one of Kaleyra's
        └── MissingFromAnswerError  Kaleyra's answer leaves out a number that was asked about

    KaleyraError
    ├── FilingError                 the user's database refused what had to be read or filed
    ├── StoppedError                the task was told to end
    └── StillPendingError           submitted lookups have no answer yet, and the time to wait is over

No error holds a phone number in full, nor the API key.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from airflow_provider_kaleyra.phone import mask_text

Status = Literal["ok", "invalid", "failed", "pending", "in_doubt"]
"""What can become of a lookup."""


class KaleyraError(Exception):
    """Base of the tree.

    :param message: what happened and the way out.
    :param status: HTTP status of the answer, if one came.
    :param code: Kaleyra's own code, such as ``RCS704``, numbers masked.
    :param vendor_message: Kaleyra's own words, numbers masked.
    :param request_id: the service's name for the request, to quote to Kaleyra's support, numbers masked.
    """

    lookup_status: ClassVar[Status] = "failed"
    """The outcome of the numbers that the request was about,"""
    lookup_reason: ClassVar[str] = "service_error"
    """and why."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        vendor_message: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code, self.vendor_message, self.request_id = (
            mask_text(text) if text else None for text in (code, vendor_message, request_id)
        )

    def __str__(self) -> str:
        told = [
            f"HTTP {self.status}" if self.status else "",
            self.code or "",
            f"“{self.vendor_message}”" if self.vendor_message else "",
            f"request {self.request_id}" if self.request_id else "",
        ]
        details = ", ".join(part for part in told if part)
        return f"{self.message} ({details})" if details else self.message


class SetupError(KaleyraError):
    """No request can succeed until a person changes the connection, a parameter or the account."""


class ConfigurationError(SetupError, ValueError):
    """A connection field or a parameter is wrong; the message names it."""


class AuthenticationError(SetupError):
    """The account SID or the API key is wrong, or the key is not allowed from this address."""


class RcsChannelDisabledError(SetupError):
    """The RCS channel is not enabled on the account; number lookups may still work."""


class BadRequestError(KaleyraError):
    """The service refused the request as such. Nothing was bought."""

    lookup_reason = "bad_request"


class InvalidNumberError(BadRequestError):
    """The service refused the number: no phone number with a country code."""

    lookup_status = "invalid"
    lookup_reason = "refused_by_service"


class NotE164Error(InvalidNumberError):
    """The number is not written as E.164, such as ``+14155550100``, and was never sent."""

    lookup_reason = "not_e164"


class RateLimitedError(KaleyraError):
    """The service asked to come back later.

    :param retry_after: seconds it asked for, or ``None`` if it named no time.
    """

    lookup_reason = "rate_limited"

    def __init__(self, message: str, *, retry_after: float | None = None, **details: object) -> None:
        super().__init__(message, **details)  # type: ignore[arg-type]
        self.retry_after = retry_after


class ServiceError(KaleyraError):
    """Kaleyra, or the carrier behind it, reported a failure of its own in a readable answer."""


class NothingSentError(KaleyraError):
    """The request never left: no connection, no such host, or no TLS. Nothing was bought."""

    lookup_reason = "nothing_sent"


class AmbiguousOutcomeError(KaleyraError):
    """The request was sent and its answer was lost: it may have been billed."""

    lookup_status: ClassVar[Status] = "in_doubt"
    lookup_reason = "no_answer"


class UnreadableAnswerError(AmbiguousOutcomeError):
    """An answer came that is not one of Kaleyra's: a gateway's page, another shape, half a body."""

    lookup_reason = "unreadable_answer"


class MissingFromAnswerError(AmbiguousOutcomeError):
    """A readable answer leaves out a number that was asked about: nothing is in doubt, nothing was learnt."""

    lookup_status = "failed"
    lookup_reason = "missing_from_answer"


class FilingError(KaleyraError):
    """The user's database refused what had to be read from it or filed in it.

    :param temporary: whether the database was out of reach or busy, so that trying again may help.
    """

    def __init__(self, message: str, *, temporary: bool = False) -> None:
        super().__init__(message)
        self.temporary = temporary


class StillPendingError(KaleyraError):
    """Submitted lookups have no answer yet, and the time to wait for them is over. They stay pending."""


class StoppedError(KaleyraError):
    """The task was told to end. What had been asked is filed, and the next try begins there."""
