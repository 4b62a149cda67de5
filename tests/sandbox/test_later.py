"""Lookups that are submitted, and answered by id."""

from __future__ import annotations

import time

import pytest

from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from airflow_provider_kaleyra.sandbox.later import DETAILS_SHAPES


def submit(client, *numbers):
    return client.send("POST", "/v1/{sid}/lookup", json={"mobile": list(numbers)})


def details(client, lookup_id):
    return client.send("GET", f"/v1/{{sid}}/lookup/get-info/{lookup_id}")


def ids(response):
    return [record["lookup_id"] for record in response.json()["data"]["data"]]


def test_a_submission_is_bought_when_it_is_accepted(client, assigned, sandbox):
    response = submit(client, *assigned[:3])
    envelope = response.json()["data"]

    assert (response.status_code, envelope["code"], envelope["total_processed_count"]) == (201, "LKP201", 3)
    assert [record["mobile_number"] for record in envelope["data"]] == [n[1:] for n in assigned[:3]]
    assert ids(response) == [f"{envelope['id']}:{n}" for n in (1, 2, 3)]
    assert sandbox.account.purchases["number"] == dict.fromkeys(assigned[:3], 1)
    assert str(sandbox.account.charged) == "0.015"


def test_each_record_of_a_submission_has_a_url_with_a_key(client, assigned, sandbox):
    (record,) = submit(client, assigned[0]).json()["data"]["data"]
    assert record["url"] == (
        f"https://api.in.kaleyra.io/api/v1/{sandbox.url_key}/lookup/get-info/{record['lookup_id']}"
    )
    assert sandbox.url_key != sandbox.api_key


def test_numbers_that_nobody_has_are_not_accepted(client, assigned, unassigned, sandbox):
    envelope = submit(client, assigned[0], unassigned[0], "nonsense").json()["data"]
    assert (len(envelope["data"]), envelope["invalid_count"]) == (1, 2)
    assert sandbox.account.purchases["number"] == {assigned[0]: 1}


@pytest.mark.parametrize("body", [{}, {"mobile": []}, {"mobile": "91"}, {"mobile": ["x"]}])
def test_a_submission_of_no_number_is_refused(client, body):
    response = client.send("POST", "/v1/{sid}/lookup", json=body)
    assert (response.status_code, response.json()["code"]) == (400, "LKP400")


@pytest.mark.parametrize("shape", DETAILS_SHAPES)
def test_the_details_come_in_each_likely_shape(client, assigned, sandbox, monkeypatch, shape):
    monkeypatch.setattr(sandbox.settings, "details_shape", shape)
    (lookup_id,) = ids(submit(client, assigned[0]))
    body = details(client, lookup_id).json()
    record = {
        "list": lambda: body["data"][0],
        "object": lambda: body["data"],
        "flat": lambda: body,
        "wrapped": lambda: body["data"]["data"][0],
    }[shape]()
    assert (record["mobile_number"], record["lookup_id"]) == (assigned[0][1:], lookup_id)
    assert record["current_operator"] == subscriber(assigned[0]).current.name


def test_questions_by_id_cost_nothing_and_are_in_the_account(client, assigned, sandbox):
    (lookup_id,) = ids(submit(client, assigned[0]))
    for _ in range(3):
        details(client, lookup_id)
    asked = [request for request in sandbox.account.requests if request.endpoint == "details"]
    assert [(request.lookup_id, request.numbers) for request in asked] == [(lookup_id, (assigned[0],))] * 3
    assert sandbox.account.purchases["number"] == {assigned[0]: 1}


@pytest.mark.parametrize(
    ("shape", "status", "data"), [("202", 202, []), ("404", 404, []), ("empty", 200, []), ("bare", 200, None)]
)
def test_a_lookup_is_pending_for_a_while(connect, assigned, shape, status, data):
    with Sandbox(details_seconds=60) as sandbox:
        sandbox.settings.pending_shape = shape
        client = connect(sandbox)
        (lookup_id,) = ids(submit(client, assigned[0]))
        response = details(client, lookup_id)
        assert response.status_code == status
        expected = [{"lookup_id": lookup_id, "mobile_number": assigned[0][1:]}] if data is None else data
        assert response.json()["data"] == expected
        sandbox.settings.details_seconds = 0
        assert details(client, lookup_id).json()["data"][0]["current_operator"]


def test_a_lookup_is_done_by_itself_when_its_time_has_come(connect, assigned):
    with Sandbox(details_seconds=0.3) as sandbox:
        client = connect(sandbox)
        (lookup_id,) = ids(submit(client, assigned[0]))
        since = time.monotonic()
        assert details(client, lookup_id).status_code == 202
        while details(client, lookup_id).status_code == 202:
            assert time.monotonic() - since < 10
        assert time.monotonic() - since >= 0.25


@pytest.mark.parametrize(("kind", "status"), [("pending", 202), ("not_found", 404), ("gone", 410)])
def test_an_id_can_stay_pending_unknown_or_expired(client, assigned, sandbox, kind, status):
    one, two = ids(submit(client, *assigned[:2]))
    sandbox.fault(kind, number=assigned[0], endpoint="details")
    assert [details(client, one).status_code for _ in range(3)] == [status] * 3
    assert details(client, two).status_code == 200


def test_an_unknown_id_is_not_found_and_a_reset_forgets_ids(client, assigned, sandbox):
    (lookup_id,) = ids(submit(client, assigned[0]))
    sandbox.reset()
    assert details(client, lookup_id).json()["code"] == "LKP404"


def test_settings_change_over_http(connect, assigned):
    with Sandbox() as sandbox:
        client = connect(sandbox)
        change = {"details_seconds": 30, "pending_shape": "empty", "details_shape": "flat", "latency_ms": 1}
        assert client.send("POST", "/sandbox/settings", json=change).status_code == 200
        settings = sandbox.settings
        assert (settings.details_seconds, settings.pending_shape, settings.details_shape) == (
            30,
            "empty",
            "flat",
        )
        assert settings.latency_ms == 1


@pytest.mark.parametrize(
    "change", [{"api_key": "x"}, {"details_seconds": -1}, {"details_shape": "round"}, {"latency_ms": True}, 3]
)
def test_a_setting_that_cannot_be_is_refused_and_nothing_changes(client, sandbox, change):
    response = client.send("POST", "/sandbox/settings", json=change)
    assert response.status_code == 400
    assert response.json()["error"]
    assert (sandbox.settings.details_seconds, sandbox.settings.details_shape) == (0, "list")
