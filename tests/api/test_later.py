"""Lookups that answer later: what is submitted, what may mean that it is pending, and what is an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pendulum
import pytest
import requests_mock as mocking
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kaleyra import errors
from airflow_provider_kaleyra.api import later, wire
from airflow_provider_kaleyra.api.client import KaleyraClient
from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from airflow_provider_kaleyra.sandbox.later import DETAILS_SHAPES, PENDING_SHAPES
from tests.support.numbers import numbers

ONE, TWO, THREE, *_ = TEN = numbers(10)
NOBODYS = next(number for number in numbers(500, assigned=None) if not subscriber(number).assigned)
ID = "2026-11-22xyz:1"
Connect = Callable[..., KaleyraClient]


def answer(body: object, status: int = 200) -> wire.Response:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return wire.Response(status, {}, text, pendulum.now("UTC"))


def record(number: str = ONE, **changes: object) -> dict[str, Any]:
    return {"lookup_id": ID, "mobile_number": number[1:], "current_operator": "Jio", **changes}


def details(body: object, status: int = 200, number: str | None = ONE) -> Any:
    return later.parse_details(answer(body, status), ID, number)


def test_a_submission_gives_an_id_for_each_number_and_is_bought_once(
    client: KaleyraClient, sandbox: Sandbox
) -> None:
    submission = client.submit_number_lookup(TEN)

    assert list(submission.lookup_ids) == TEN
    assert submission.lookup_ids[ONE] == f"{submission.id}:1"
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)
    assert len(sandbox.account.requests) == 1


def test_a_submitted_batch_is_pending_and_what_is_no_number_is_invalid(
    client: KaleyraClient, sandbox: Sandbox
) -> None:
    answer = client.ask_submission([ONE, NOBODYS])
    lookups = {lookup.phone_number: lookup for lookup in answer.lookups}

    assert (lookups[ONE].status, lookups[ONE].purchases) == ("pending", 1)
    assert lookups[ONE].lookup_id
    assert (lookups[NOBODYS].status, lookups[NOBODYS].reason) == ("invalid", "refused_by_service")
    assert answer.price is None


def test_a_number_that_the_submission_leaves_out_has_failed_and_may_have_been_paid_for(
    client: KaleyraClient, sandbox: Sandbox
) -> None:
    sandbox.fault("missing", number=ONE, endpoint="submit")
    lookups = {lookup.phone_number: lookup for lookup in client.ask_submission([ONE, TWO]).lookups}

    assert (lookups[ONE].status, lookups[ONE].reason) == ("failed", "missing_from_answer")
    assert lookups[ONE].purchases == 1
    assert lookups[TWO].status == "pending"


def test_a_record_without_an_id_cannot_be_waited_for(client: KaleyraClient) -> None:
    body = {"data": {"code": "LKP201", "data": [{"mobile_number": ONE[1:]}, record(TWO)]}}
    parsed = later.parse_submission(answer(body), [ONE, TWO])

    assert list(parsed.lookups) == [TWO]


@pytest.mark.parametrize(
    "kind", ["reset", "reset_mid_body", "truncated", "wrong_json", "empty", "html_error"]
)
def test_a_submission_whose_answer_is_lost_is_in_doubt_and_never_sent_again(
    client: KaleyraClient, sandbox: Sandbox, kind: str
) -> None:
    sandbox.fault(kind)
    outcome = client.ask_submission([ONE, TWO])

    assert {lookup.status for lookup in outcome.lookups} == {"in_doubt"}
    assert len(sandbox.account.requests) == 1


def test_a_submission_that_never_left_or_was_told_to_wait_is_sent_again(
    client: KaleyraClient, sandbox: Sandbox
) -> None:
    sandbox.fault("429", retry_after=0)
    outcome = client.ask_submission([ONE, TWO])

    assert {lookup.status for lookup in outcome.lookups} == {"pending"}
    assert sandbox.account.purchases["number"] == {ONE: 1, TWO: 1}


def test_a_refused_submission_is_asked_in_halves_until_the_number_to_blame_is_alone(
    client: KaleyraClient, sandbox: Sandbox
) -> None:
    with mocking.Mocker() as mock:

        def refuse_three(request: Any, context: Any) -> dict[str, Any]:
            asked = json.loads(request.text)["mobile"]
            if THREE[1:] in asked:
                context.status_code = 400
                return {"code": "LKP400", "data": [], "error": {"error_code": "E", "error_message": "no"}}
            found = [{"lookup_id": f"x:{number}", "mobile_number": number} for number in asked]
            return {"data": {"code": "LKP201", "data": found}}

        mock.post(mocking.ANY, json=refuse_three)
        lookups = {lookup.phone_number: lookup for lookup in client.ask_submission(TEN[:4]).lookups}

    assert lookups[THREE].status == "failed"
    assert {lookups[number].status for number in (ONE, TWO, TEN[3])} == {"pending"}


def test_the_url_of_a_submission_is_dropped_where_it_is_read(client: KaleyraClient, sandbox: Sandbox) -> None:
    submission = client.submit_number_lookup([ONE])
    lookups = client.ask_submission([TWO])

    for told in (repr(submission), str(submission.lookup_ids), repr(lookups)):
        assert sandbox.url_key not in told
        assert "http" not in told


SECRET = "https://api.in.kaleyra.io/api/v1/Ab4f00ba4f00ba4f00/lookup/get-info/x:1"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"code": "LKP400", "message": f"see {SECRET}", "data": []}),
        (500, {"code": "LKP500", "data": [], "error": {"error_code": "E", "error_message": f"<{SECRET}>"}}),
        (201, {"data": {"code": "LKP201", "data": [{"url": SECRET}]}}),
        (201, {"data": {"code": "LKP201", "data": [{"mobile_number": ONE[1:], "lookup_id": SECRET}]}}),
        (201, {"data": {"code": "LKP201", "id": SECRET, "data": {"url": SECRET}}}),
        (201, {"result": [{"url": SECRET}]}),
        (201, f'{{"data": {{"code": "LKP201", "data": [{{"url": "{SECRET}"'.encode()),
    ],
)
def test_the_url_is_in_no_error_and_no_outcome_of_an_answer_that_went_wrong(
    client: KaleyraClient, status: int, body: object
) -> None:
    with mocking.Mocker() as mock:
        mock.post(mocking.ANY, status_code=status, content=answer(body).body)
        outcome = client.ask_submission([ONE])
        try:
            told = repr(client.submit_number_lookup([ONE]))
        except errors.KaleyraError as error:
            told = f"{error!r} {error} {error.vendor_message} {error.__context__}"

    assert "Ab4f00" not in told
    assert "Ab4f00" not in repr(outcome)
    assert outcome.lookups[0].status in ("failed", "in_doubt")


@pytest.mark.parametrize("shape", DETAILS_SHAPES)
def test_details_are_read_in_each_shape_with_their_price(
    client: KaleyraClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    monkeypatch.setattr(sandbox.settings, "details_shape", shape)
    lookup_id = client.submit_number_lookup([ONE]).lookup_ids[ONE]
    lookup = client.ask_details(lookup_id, ONE).lookup

    person = subscriber(ONE)
    assert lookup is not None
    assert (lookup.phone_number, lookup.status, lookup.lookup_id) == (ONE, "ok", lookup_id)
    assert (lookup.country, lookup.country_code) == (person.country, person.country_code)
    assert (lookup.current_mcc, lookup.current_mnc) == (person.current.mcc, person.current.mnc)
    assert (lookup.current_operator, lookup.is_ported) == (person.current.name, person.is_ported)
    assert (lookup.price, lookup.response_code) == (Decimal("0.005"), "LKP200")


@pytest.mark.parametrize("shape", PENDING_SHAPES)
def test_what_may_be_pending_is_pending(
    client: KaleyraClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    monkeypatch.setattr(sandbox.settings, "pending_shape", shape)
    monkeypatch.setattr(sandbox.settings, "details_seconds", 60)
    lookup_id = client.submit_number_lookup([ONE]).lookup_ids[ONE]
    found = client.ask_details(lookup_id, ONE)

    assert found.lookup is None
    assert found.unknown is (shape == "404")
    assert len(sandbox.account.requests) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"<html>done</html>",
        b'{"code": "LKP200", "data": [{"mobile_',
        [],
        [1, 2],
        None,
        {"status": "ok", "result": [record()]},
        {"code": "LKP200", "data": {}},
        {"code": "LKP200", "data": None},
        {"code": "LKP200", "data": [{}]},
        {"code": "LKP200", "data": [record(current_operator="")]},
        {"code": "LKP200", "data": [record(status="PENDING")]},
        {"code": "LKP200", "data": [record(status="In Progress")]},
        {"code": "LKP201", "data": [record()]},
        {"data": {"code": "lkp201", "data": [record()]}},
        {"code": "LKP425", "message": "not yet", "data": [record()]},
        {"code": "LKP404", "message": "no such lookup", "data": []},
        {"code": "LKP200", "data": [record(TWO)]},
        {"code": "LKP200", "data": [record("+", lookup_id="other:1")]},
        {"data": {"data": {"data": {"data": {"data": [record()]}}}}},
    ],
)
def test_nothing_unknown_is_success(body: object) -> None:
    assert details(body).lookup is None


@pytest.mark.parametrize("status", [202, 404, 408, 409, 422, 425])
@pytest.mark.parametrize("body", [b"", b"<html>404 Not Found</html>", {"code": "LKP404", "data": []}])
def test_a_status_that_may_mean_later_is_pending(status: int, body: object) -> None:
    found = details(body, status)
    assert found.lookup is None
    assert found.unknown is (status == 404)


def test_a_record_with_202_is_pending_all_the_same() -> None:
    assert details({"code": "LKP200", "data": [record()]}, 202).lookup is None


@pytest.mark.parametrize("field", ["country", "current_mcc", "original_operator", "roaming_opearator"])
def test_a_country_a_network_code_or_an_operator_makes_an_answer(field: str) -> None:
    body = {"code": "LKP200", "data": {"mobile_number": ONE[1:], field: "1"}}
    assert details(body).lookup.status == "ok"


def test_the_record_of_the_number_is_found_among_those_of_its_request() -> None:
    body = {
        "code": "LKP200",
        "price": 0.3,
        "data": [record(TWO), record(ONE, current_operator="Vi", price=0.1), record(THREE)],
    }
    lookup = details(body).lookup
    assert (lookup.current_operator, lookup.price) == ("Vi", Decimal("0.1"))
    # The envelope's price is that of all three.
    del body["data"][1]["price"]  # type: ignore[index,attr-defined]
    assert details(body).lookup.price is None


def test_without_knowing_the_number_the_id_tells() -> None:
    others = {"code": "LKP200", "data": [record(TWO, lookup_id="other:1")]}
    assert details(others, number=None).lookup is None
    assert details({"code": "LKP200", "data": [record(TWO)]}, number=None).lookup.phone_number == TWO


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"code": "RCS404", "message": "x", "data": []}),
        (
            404,
            {"code": "LKP404", "data": [], "error": {"error_code": "X", "error_message": "Route not found"}},
        ),
        (404, b'{"message": "no Route matched with those values"}'),
        (405, {"code": "LKP405", "data": []}),
    ],
)
def test_a_path_that_the_service_does_not_know_names_the_setting(status: int, body: object) -> None:
    with pytest.raises(errors.ConfigurationError, match="lookup_details_path"):
        details(body, status)


def test_a_wrong_path_in_the_connection_is_told(connect: Connect, sandbox: Sandbox) -> None:
    client = connect(lookup_details_path="/v9/{sid}/{lookup_id}")
    with pytest.raises(errors.ConfigurationError, match="lookup_details_path"):
        client.ask_details(ID, ONE)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.AuthenticationError),
        (403, errors.AuthenticationError),
        (402, errors.SetupError),
        (429, errors.RateLimitedError),
        (500, errors.ServiceError),
        (307, errors.UnreadableAnswerError),
    ],
)
def test_what_says_nothing_of_the_lookup_is_an_error(status: int, kind: type[Exception]) -> None:
    body = b"" if status == 307 else {"code": f"LKP{status}", "data": []}
    with pytest.raises(kind):
        details(body, status)


def test_a_refused_id_has_failed_in_the_vendors_words_without_the_number() -> None:
    error = {"error_code": "INVALID_ID", "error_message": f"No good: {ONE}"}
    lookup = details({"code": "LKP406", "data": [], "error": error}, 400).lookup

    assert (lookup.status, lookup.reason, lookup.response_code) == ("failed", "bad_request", "LKP406")
    assert "No good" in lookup.error_message
    assert ONE[1:] not in lookup.error_message
    assert (lookup.phone_number, lookup.lookup_id) == (ONE, ID)


@pytest.mark.parametrize("body", [b"", {"code": "LKP410", "message": "Lookup has expired", "data": []}])
def test_an_expired_id_has_failed(body: object) -> None:
    lookup = details(body, 410).lookup
    assert (lookup.status, lookup.reason) == ("failed", "lookup_expired")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("refuse", {}),
        ("reset", {}),
        ("reset_mid_body", {}),
        ("json_error", {}),
        ("json_error", {"status": 504}),
        ("html_error", {}),
        ("429", {"retry_after": 0}),
    ],
)
def test_a_question_by_id_is_free_and_so_asked_again(
    client: KaleyraClient, sandbox: Sandbox, kind: str, options: dict[str, Any]
) -> None:
    lookup_id = client.submit_number_lookup([ONE]).lookup_ids[ONE]
    sandbox.fault(kind, endpoint="details", **options)
    lookup = client.ask_details(lookup_id, ONE).lookup

    assert lookup is not None
    assert [request.endpoint for request in sandbox.account.requests] == ["submit", "details", "details"]
    assert sandbox.account.purchases["number"] == {ONE: 1}


@pytest.mark.parametrize(
    ("kind", "status", "unknown"),
    [("pending", None, False), ("not_found", None, True), ("gone", "failed", False), ("empty", None, False)],
)
def test_each_answer_to_an_id_has_its_meaning(
    client: KaleyraClient, sandbox: Sandbox, kind: str, status: str | None, unknown: bool
) -> None:
    lookup_id = client.submit_number_lookup([ONE]).lookup_ids[ONE]
    sandbox.fault(kind, endpoint="details")
    found = client.ask_details(lookup_id, ONE)

    assert (found.lookup and found.lookup.status, found.unknown) == (status, unknown)


def test_asking_again_has_an_end(client: KaleyraClient, sandbox: Sandbox) -> None:
    sandbox.fault("reset", endpoint="details", rate=1)
    with pytest.raises(errors.AmbiguousOutcomeError):
        client.ask_details(ID, ONE)
    assert len(sandbox.account.requests) == 5


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "code", "lookup_id", "error", "status", "x"]), inner)
    ),
    max_leaves=8,
)


@given(json_values, st.sampled_from([200, 201, 202, 204, 404]))
def test_whatever_comes_without_a_network_or_country_is_no_answer(body: object, status: int) -> None:
    try:
        assert details(body, status).lookup is None
    except errors.ConfigurationError:
        assert status == 404
