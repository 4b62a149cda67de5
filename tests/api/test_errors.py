"""What an error says, and what it does not."""

from __future__ import annotations

import pickle
import traceback

import pytest

from airflow_provider_kaleyra import errors

NUMBER = "+12025550147"


def tree(kind: type[errors.KaleyraError]) -> list[type[errors.KaleyraError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in tree(child))]


@pytest.mark.parametrize(
    "kind", [kind for kind in tree(errors.KaleyraError) if kind is not errors.FilingError]
)
def test_an_error_survives_the_way_between_processes(kind: type[errors.KaleyraError]) -> None:
    error = kind("It broke", status=400, code="RCS704", vendor_message="Bad number", request_id="r1")
    if isinstance(error, errors.RateLimitedError):
        error.retry_after = 7.0
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is kind
    assert vars(copy) == vars(error)
    assert str(copy) == str(error) == "It broke (HTTP 400, RCS704, “Bad number”, request r1)"


def test_an_error_of_the_database_survives_too() -> None:
    copy = pickle.loads(pickle.dumps(errors.FilingError("The database is gone", temporary=True)))
    assert (str(copy), copy.temporary) == ("The database is gone", True)


def test_an_error_without_an_answer_is_its_message_alone() -> None:
    assert str(errors.NothingSentError("No connection")) == "No connection"


@pytest.mark.parametrize("spelling", [NUMBER, NUMBER[1:], "+1 202-555-0147", "%2B12025550147"])
def test_a_number_in_kaleyras_words_is_masked(spelling: str) -> None:
    error = errors.InvalidNumberError("Refused", vendor_message=f"{spelling} is no number")
    shown = [str(error), repr(error), *traceback.format_exception(error), str(error.vendor_message)]

    assert spelling not in "".join(shown)
    assert "5550147" not in "".join(shown)
    assert "is no number" in str(error)


def test_the_outcome_of_a_failed_request_follows_from_its_error() -> None:
    outcomes = {kind: (kind.lookup_status, kind.lookup_reason) for kind in tree(errors.KaleyraError)}

    assert outcomes[errors.BadRequestError] == ("failed", "bad_request")
    assert outcomes[errors.InvalidNumberError] == ("invalid", "refused_by_service")
    assert outcomes[errors.NotE164Error] == ("invalid", "not_e164")
    assert outcomes[errors.RateLimitedError] == ("failed", "rate_limited")
    assert outcomes[errors.ServiceError] == ("failed", "service_error")
    assert outcomes[errors.NothingSentError] == ("failed", "nothing_sent")
    assert outcomes[errors.AmbiguousOutcomeError] == ("in_doubt", "no_answer")
    assert outcomes[errors.UnreadableAnswerError] == ("in_doubt", "unreadable_answer")
    assert outcomes[errors.MissingFromAnswerError] == ("failed", "missing_from_answer")


def test_the_tree_in_the_documentation_is_the_tree() -> None:
    drawn = {word for word in (errors.__doc__ or "").split() if word.endswith("Error")}
    assert drawn == {kind.__name__ for kind in tree(errors.KaleyraError)}
