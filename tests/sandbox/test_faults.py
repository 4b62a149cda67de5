"""Faults, each as a plain `requests` client sees it, and what the account says of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import requests

from airflow_provider_kaleyra.sandbox import KINDS, Sandbox

LOST = {"refuse", "reset", "reset_mid_body", "hang"}
OPTIONS = {
    "hang": {"seconds": 0},
    "drip": {"seconds": 0},
    "redirect": {"location": "http://127.0.0.1:9/"},
}


def bought(sandbox: Sandbox) -> int:
    return sum(count for counts in sandbox.account.purchases.values() for count in counts.values())


def try_get(client, *numbers: str) -> requests.Response | None:
    try:
        return client.get(*numbers)
    except requests.RequestException:
        return None


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_buys_if_its_answer_was_computed(sandbox, client, assigned, kind):
    sandbox.fault(kind, **OPTIONS.get(kind, {}))
    response = try_get(client, *assigned[:3])
    assert (response is None) == (kind in LOST)
    assert bought(sandbox) == (3 if KINDS[kind].bought else 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("told", [True, False])
def test_bought_overrides_the_kind(sandbox, client, assigned, kind, told):
    sandbox.fault(kind, bought=told, **OPTIONS.get(kind, {}))
    try_get(client, *assigned[:3])
    assert bought(sandbox) == (3 if told else 0)
    assert sandbox.account.charged == (3 * sandbox.settings.price if told else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_fault_the_next_request_is_answered(sandbox, client, assigned, kind):
    sandbox.fault(kind, **OPTIONS.get(kind, {}))
    try_get(client, assigned[0])
    assert client.get(assigned[0]).json()["code"] == "LKP200"


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_does_not_buy_what_is_refused_anyway(sandbox, client, kind):
    sandbox.fault(kind, **OPTIONS.get(kind, {}))
    try_get(client, "12")
    assert bought(sandbox) == 0


@pytest.mark.parametrize("kind", ["refuse", "reset", "hang"])
def test_a_reset_connection_gives_no_answer(sandbox, client, assigned, kind):
    sandbox.fault(kind, **OPTIONS.get(kind, {}))
    with pytest.raises(requests.ConnectionError, match="reset"):
        client.get(assigned[0])
    assert sandbox.account.requests[0].status == 0


def test_reset_mid_body_breaks_the_promise_of_content_length(sandbox, client, assigned):
    sandbox.fault("reset_mid_body")
    with client.get(assigned[0], stream=True) as response:
        promised = int(response.headers["Content-Length"])
        assert response.status_code == 200
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match=f"{promised // 2} bytes read"):
            _ = response.content


def test_a_hanging_answer_lasts_until_the_client_gives_up(sandbox, client, assigned):
    sandbox.fault("hang")
    with pytest.raises(requests.ReadTimeout):
        client.get(assigned[0], timeout=0.1)
    assert bought(sandbox) == 1


def test_a_dripping_answer_comes_whole(sandbox, client, assigned):
    sandbox.fault("drip", seconds=0)
    assert client.get(assigned[0]).json()["data"][0]["mobile_number"] == assigned[0][1:]


def test_a_dripping_answer_may_take_longer_than_the_read_timeout(sandbox, client, assigned):
    sandbox.fault("drip", seconds=0.001)
    began = time.monotonic()
    assert client.get(assigned[0], timeout=0.2).json()["code"] == "LKP200"
    assert time.monotonic() - began > 0.2


@pytest.mark.parametrize(
    ("retry_after", "header"),
    [
        (None, None),
        (2, "2"),
        (0.5, "0.5"),
        ("soon", "soon"),
        (datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), "Wed, 02 Jan 2030 03:04:05 GMT"),
    ],
)
def test_429_says_when_to_come_back_as_told(sandbox, client, assigned, retry_after, header):
    sandbox.fault("429", retry_after=retry_after)
    response = client.single(assigned[0])
    assert response.status_code == 429
    assert response.headers.get("Retry-After") == header
    assert response.json()["code"] == "RCS429"


@pytest.mark.parametrize("status", [500, 502, 503])
def test_json_error_is_kaleyras_envelope(sandbox, client, assigned, status):
    sandbox.fault("json_error", status=status, retry_after=1)
    response = client.get(assigned[0])
    assert response.status_code == status
    assert (response.json()["code"], response.json()["data"]) == (f"LKP{status}", [])
    assert response.headers["Retry-After"] == "1"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_html_error_is_a_gateways_page(sandbox, client, assigned, status):
    sandbox.fault("html_error", status=status)
    response = client.get(assigned[0])
    assert (response.status_code, response.headers["Content-Type"]) == (status, "text/html")
    assert response.text.startswith("<html>")


def test_truncated_json_is_complete_http(sandbox, client, assigned):
    sandbox.fault("truncated")
    response = client.get(assigned[0])
    assert (response.status_code, response.text[:15]) == (200, '{"code": "LKP20')
    with pytest.raises(requests.JSONDecodeError):
        response.json()


def test_wrong_json_is_json_of_another_shape(sandbox, client, assigned):
    sandbox.fault("wrong_json")
    assert "code" not in client.get(assigned[0]).json()


def test_empty_is_a_success_without_a_body(sandbox, client, assigned):
    sandbox.fault("empty")
    response = client.get(assigned[0])
    assert (response.status_code, response.content) == (200, b"")


def test_redirect_points_to_another_host(sandbox, client, assigned):
    sandbox.fault("redirect", location="http://127.0.0.1:9/elsewhere")
    response = client.get(assigned[0])
    assert (response.status_code, response.headers["Location"]) == (307, "http://127.0.0.1:9/elsewhere")


Ask = Callable[..., list[str]]


@pytest.fixture(params=["get", "bulk"])
def ask(request, client) -> Ask:
    """Ask about many numbers; gives those in the answer."""
    if request.param == "get":
        return lambda numbers: ["+" + r["mobile_number"] for r in client.get(*numbers).json()["data"]]
    return lambda numbers: [r["deviceAddress"] for r in client.bulk(numbers).json()["data"]]


def test_missing_leaves_numbers_out(sandbox, ask, assigned):
    sandbox.fault("missing", count=2)
    assert ask(assigned[:100]) == assigned[2:100]


def test_missing_leaves_its_own_number_out(sandbox, ask, assigned):
    sandbox.fault("missing", number=assigned[7])
    assert ask(assigned[:100]) == assigned[:7] + assigned[8:100]


def test_extra_adds_numbers_that_nobody_asked_for(sandbox, ask, assigned):
    sandbox.fault("extra", count=2)
    answer = ask(assigned[:100])
    assert (answer[:100], len(answer)) == (assigned[:100], 102)
    assert bought(sandbox) == 100


def test_reordered_reverses_the_numbers(sandbox, ask, assigned):
    sandbox.fault("reordered")
    assert ask(assigned[:100]) == assigned[99::-1]


def test_repeated_answers_twice(sandbox, ask, assigned):
    sandbox.fault("repeated", count=2)
    assert ask(assigned[:100]) == assigned[:100] + assigned[:2]


@pytest.mark.parametrize("shape", ["list", "object"])
def test_spoilt_bulk_answers_keep_their_shape(connect, assigned, shape):
    with Sandbox(bulk_shape=shape) as sandbox:
        sandbox.fault("missing")
        data = connect(sandbox).bulk(assigned[:100]).json()["data"]
        assert len(data["devices"] if shape == "object" else data) == 99


@pytest.mark.parametrize(("kind", "shape"), [("missing", {}), ("extra", 2), ("repeated", 2)])
def test_a_single_lookup_can_be_spoilt_too(sandbox, client, assigned, kind, shape):
    sandbox.fault(kind)
    data = client.single(assigned[0]).json()["data"]
    assert data == shape if shape == {} else len(data) == shape


def test_other_case_changes_types_and_letters(sandbox, client, assigned):
    sandbox.fault("other_case")
    record = client.get(assigned[0]).json()["data"][0]
    assert (record["is_ported"], record["country_code"], record["country"]) in [
        ("0", "91", "in"),
        ("1", "91", "in"),
    ]
    assert "roaming_operator" in record
    assert "roaming_opearator" not in record


def test_other_case_changes_an_rcs_answer(sandbox, client, assigned):
    sandbox.fault("other_case")
    data = client.single(assigned[0]).json()["data"]
    assert data["rcsEnabled"] in {"TRUE", "FALSE"}
    assert data["carrierStatus"] in {"active", "inactive"}


@pytest.mark.parametrize(
    ("change", "price"), [("price_text", "0.010"), ("price_zero", 0), ("price_missing", None)]
)
def test_the_price_can_be_text_or_zero_or_missing(sandbox, client, assigned, change, price):
    sandbox.fault("other_case", changes=[change])
    body = client.get(*assigned[:2]).json()
    assert body.get("price") == price
    assert str(sandbox.account.charged) == "0.010"


def test_keys_and_code_can_have_other_letters(sandbox, client, assigned):
    sandbox.fault("other_case", changes=["keys", "code"])
    body = client.get(assigned[0]).json()
    assert body["code"] == "lkp200"
    assert body["data"][0]["MOBILE_NUMBER"] == assigned[0][1:]


def statuses(client, assigned, count: int) -> list[int]:
    return [client.single(assigned[0]).status_code for _ in range(count)]


def test_a_fault_meets_the_next_request_only(sandbox, client, assigned):
    sandbox.fault("429")
    assert statuses(client, assigned, 3) == [429, 200, 200]


def test_a_fault_meets_the_nth_request_from_now(sandbox, client, assigned):
    client.single(assigned[0])
    sandbox.fault("429", at=2)
    assert statuses(client, assigned, 3) == [200, 429, 200]


def test_a_fault_strikes_as_often_as_told(sandbox, client, assigned):
    sandbox.fault("429", at=2, times=2)
    assert statuses(client, assigned, 4) == [200, 429, 429, 200]


def test_a_random_fault_is_the_same_for_the_same_seed(sandbox, client, assigned):
    runs = []
    for seed in (1, 1, 2):
        sandbox.reset()
        sandbox.fault("429", rate=0.5, seed=seed)
        runs.append(statuses(client, assigned, 30))
    assert runs[0] == runs[1] != runs[2]
    assert {200, 429} == set(runs[0])


def test_a_random_fault_ends_after_its_times(sandbox, client, assigned):
    sandbox.fault("429", rate=1, times=2)
    assert statuses(client, assigned, 3) == [429, 429, 200]


def test_a_fault_of_a_number_meets_every_request_that_carries_it(sandbox, client, assigned):
    sandbox.fault("429", number=assigned[1])
    assert client.single(assigned[0]).status_code == 200
    assert client.single(assigned[1]).status_code == 429
    assert client.get(*assigned[:3]).status_code == 429
    assert client.single(assigned[1]).status_code == 429


def test_a_fault_of_one_endpoint_neither_meets_nor_counts_others(sandbox, client, assigned):
    sandbox.fault("429", api="number", at=2)
    assert client.get(assigned[0]).status_code == 200
    assert client.single(assigned[0]).status_code == 200
    assert client.get(assigned[0]).status_code == 429


def test_of_two_faults_the_second_waits_for_the_next_request(sandbox, client, assigned):
    sandbox.fault("429")
    sandbox.fault("json_error", status=503)
    assert statuses(client, assigned, 3) == [429, 503, 200]


def test_the_account_names_the_fault(sandbox, client, assigned):
    sandbox.fault("empty")
    client.single(assigned[0])
    assert [request.fault for request in sandbox.account.requests] == ["empty"]


def test_faults_are_added_and_removed_over_http(client, assigned):
    faults = [{"kind": "429", "retry_after": 3}, {"kind": "json_error", "status": 503, "rate": 1}]
    assert client.send("POST", "/sandbox/faults", json=faults).status_code == 201
    response = client.single(assigned[0])
    assert (response.status_code, response.headers["Retry-After"]) == (429, "3")
    assert client.single(assigned[0]).status_code == 503
    client.send("DELETE", "/sandbox/faults")
    assert client.single(assigned[0]).status_code == 200


def test_the_kinds_are_listed_over_http(client):
    kinds = client.send("GET", "/sandbox/faults").json()
    assert kinds.keys() == KINDS.keys()
    assert kinds["reset"]["bought"] is True


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"kind": "earthquake"}, "kind"),
        ({"kind": "429", "at": 0}, "at"),
        ({"kind": "429", "at": 1, "rate": 0.5}, "at, rate"),
        ({"kind": "429", "rate": 2}, "rate"),
        ({"kind": "429", "times": 0}, "times"),
        ({"kind": "429", "number": "919812345678"}, "number"),
        ({"kind": "empty", "status": 500}, "status"),
        ({"kind": "redirect"}, "location"),
        ({"kind": "other_case", "changes": ["hats"]}, "changes"),
        ({"kind": "429", "colour": "red"}, "colour"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_by_name(client, fault, named):
    response = client.send("POST", "/sandbox/faults", json=fault)
    assert response.status_code == 400
    assert named in response.json()["error"]


def test_a_fault_in_python_is_checked_at_once(sandbox):
    with pytest.raises(ValueError, match="kind"):
        sandbox.fault("earthquake")
