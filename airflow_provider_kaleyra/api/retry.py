"""Whether and when a failed request may be sent again. Pure: no clock, no I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from airflow_provider_kaleyra.errors import (
    AmbiguousOutcomeError,
    KaleyraError,
    NothingSentError,
    RateLimitedError,
    ServiceError,
)

FIRST_WAIT = 0.5
LONGEST_WAIT = 60.0
LONGEST_RETRY_AFTER = 300.0
ATTEMPTS: dict[type[KaleyraError], int] = {
    NothingSentError: 5,
    RateLimitedError: 8,
    ServiceError: 3,
    AmbiguousOutcomeError: 5,
}


def wait_before_retry(error: KaleyraError, attempt: int, *, billable: bool, jitter: float) -> float | None:
    """Decide what follows a failed request.

    :param error: what went wrong with the latest attempt.
    :param attempt: how many attempts were made, 1 for the first.
    :param billable: whether a request of this kind may cost money. If so, one whose answer was lost is
        never sent again from here: the caller's ``in_doubt`` setting decides.
    :param jitter: a random number in [0, 1), which spreads the waits of many workers.
    :return: seconds to wait before the next attempt, or ``None`` to stop.
    """
    kind = next((kind for kind in ATTEMPTS if isinstance(error, kind)), None)
    if kind is None or attempt >= ATTEMPTS[kind] or (billable and kind is AmbiguousOutcomeError):
        return None
    if isinstance(error, RateLimitedError) and error.retry_after is not None:
        return error.retry_after
    ceiling: float = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))
    return ceiling * (0.5 + jitter / 2)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Read ``Retry-After``: seconds, or an HTTP date. Nonsense is ``None``; long waits are capped."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_RETRY_AFTER)
    try:
        until = parsedate_to_datetime(text)
        seconds = (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)
