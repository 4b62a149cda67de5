"""What may be sent again, and when. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_kaleyra import errors
from airflow_provider_kaleyra.api import retry
from airflow_provider_kaleyra.api.retry import LONGEST_RETRY_AFTER, parse_retry_after, wait_before_retry

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _retries_at_once() -> None:
    """Here the waits are the real ones."""


@pytest.mark.parametrize(
    "error",
    [
        errors.AmbiguousOutcomeError("lost"),
        errors.UnreadableAnswerError("HTML"),
        errors.MissingFromAnswerError("left out"),
    ],
)
def test_what_may_have_been_billed_is_never_sent_again(error: errors.KaleyraError) -> None:
    assert wait_before_retry(error, 1, billable=True, jitter=0) is None


def test_a_lost_answer_to_an_unbilled_question_may_be_asked_for_again() -> None:
    assert wait_before_retry(errors.AmbiguousOutcomeError("lost"), 1, billable=False, jitter=0) is not None


@pytest.mark.parametrize(
    "error",
    [
        errors.ConfigurationError("host"),
        errors.AuthenticationError("key"),
        errors.RcsChannelDisabledError("off"),
        errors.SetupError("no credit"),
        errors.BadRequestError("no"),
        errors.InvalidNumberError("no number"),
        errors.KaleyraError("whatever"),
    ],
)
def test_what_would_be_refused_again_is_not_sent_again(error: errors.KaleyraError) -> None:
    assert wait_before_retry(error, 1, billable=True, jitter=0) is None


@pytest.mark.parametrize(
    "error", [errors.NothingSentError("x"), errors.ServiceError("x"), errors.RateLimitedError("x")]
)
def test_waits_double_are_spread_and_end(error: errors.KaleyraError) -> None:
    waits = [wait_before_retry(error, attempt, billable=True, jitter=0) for attempt in range(1, 100)]
    made = [wait for wait in waits if wait is not None]

    assert made[:2] == [retry.FIRST_WAIT / 2, retry.FIRST_WAIT]
    assert 2 <= len(made) <= 7
    assert max(made) <= retry.LONGEST_WAIT
    assert waits[len(made) :] == [None] * (99 - len(made))
    assert wait_before_retry(error, 1, billable=True, jitter=0.99) == pytest.approx(0.995 * retry.FIRST_WAIT)


def test_the_service_says_how_long_to_wait() -> None:
    error = errors.RateLimitedError("slow down", retry_after=42)
    assert wait_before_retry(error, 1, billable=True, jitter=0.5) == 42


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("3", 3),
        (" 17 ", 17),
        ("0000000000120", 120),
        ("86400", LONGEST_RETRY_AFTER),
        ("9" * 400, LONGEST_RETRY_AFTER),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=1), usegmt=True), LONGEST_RETRY_AFTER),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30),
        ("Sunday, 01-Mar-26 12:00:20 GMT", 20),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_capped_and_nonsense_is_ignored(
    value: str | None, seconds: float | None
) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(
    st.none()
    | st.text()
    | st.from_regex(r"[0-9 ,.:+-]{0,40}")
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,4} (Jan|Dec) [0-9]{1,6} [0-9:]{0,12} ?(GMT|[+-][0-9]{0,9})?")
)
@example("Mon, 01 Jan 0001 00:00:00 +2359")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("Fri, 31 Dec 2026 23:59:59 +9999999999999999")
def test_no_retry_after_is_ever_negative_or_above_the_cap(value: str | None) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST_RETRY_AFTER
