"""Who may ask, how fast, and what the account then says."""

from __future__ import annotations

import logging
import socket
from decimal import Decimal
from types import SimpleNamespace

import pytest
import requests

from airflow_provider_kaleyra.sandbox import Sandbox, account


@pytest.mark.parametrize("headers", [{"api-key": "Another"}, {"api-key": None}])
@pytest.mark.parametrize(("ask", "code"), [("single", "RCS401"), ("get", "LKP401")])
def test_a_wrong_or_missing_key_is_401(client, assigned, headers, ask, code):
    response = getattr(client, ask)(assigned[0], headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, code)
    assert response.json()["error"]["error_code"] == "UNAUTHORIZED"


def test_a_wrong_sid_is_401(client, assigned):
    assert client.send("GET", f"/v1/HXOTHER/rcs/lookup/{assigned[0]}").status_code == 401


def test_a_key_of_another_address_is_403(connect, assigned):
    with Sandbox(allowed_addresses=["192.0.2.1"]) as sandbox:
        assert connect(sandbox).single(assigned[0]).status_code == 403


def test_a_key_of_this_address_works(connect, assigned):
    with Sandbox(allowed_addresses=["127.0.0.1"]) as sandbox:
        assert connect(sandbox).single(assigned[0]).status_code == 200


def test_above_the_rate_a_request_is_told_to_wait(connect, assigned):
    with Sandbox(requests_per_second=3) as sandbox:
        client = connect(sandbox)
        responses = [client.single(assigned[0]) for _ in range(4)]
        assert [response.status_code for response in responses] == [200, 200, 200, 429]
        assert responses[3].headers["Retry-After"] == "1"
        assert responses[3].json()["error"]["error_code"] == "TOO_MANY_REQUESTS"
        assert sandbox.account.purchases["rcs"] == {assigned[0]: 3}


def test_the_rate_is_that_of_any_one_second(monkeypatch):
    clock = iter([0.0, 0.5, 0.9, 1.0, 1.2, 1.5])
    monkeypatch.setattr(account, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    window = account.Window()
    assert [window.admit(2) for _ in range(6)] == [True, True, False, True, False, True]


def test_latency_delays_an_answer_that_is_already_bought(connect, assigned):
    with Sandbox(latency_ms=60_000) as sandbox:
        with pytest.raises(requests.ReadTimeout):
            connect(sandbox).single(assigned[0], timeout=0.2)
        assert sandbox.account.purchases["rcs"] == {assigned[0]: 1}


def test_every_api_counts_its_own_purchases(client, sandbox, assigned):
    client.single(assigned[0])
    client.get(assigned[0], assigned[1])
    client.get(assigned[0])
    assert sandbox.account.purchases == {"rcs": {assigned[0]: 1}, "number": {assigned[0]: 2, assigned[1]: 1}}


def test_a_bulk_lookup_buys_each_number_once(client, sandbox, assigned):
    client.bulk(assigned[:100] + assigned[:50])
    assert sandbox.account.purchases["rcs"] == dict.fromkeys(assigned[:100], 1)


def test_only_number_lookups_are_charged_and_exactly(client, sandbox, assigned):
    client.single(assigned[0])
    for _ in range(3):
        client.get(*assigned[:7])
    assert sandbox.account.charged == Decimal("0.105")


def test_refused_and_unassigned_numbers_are_not_bought(client, sandbox, assigned, unassigned):
    client.single(unassigned[0])
    client.bulk(assigned[:99])
    client.get(unassigned[0], "12")
    client.single(assigned[0], headers={"api-key": "Another"})
    assert sandbox.account.purchases == {"rcs": {}, "number": {}}
    assert sandbox.account.charged == 0


def test_a_request_is_kept_as_it_was_sent(client, sandbox, assigned):
    client.get(assigned[0], assigned[0][1:], "12")
    (request,) = sandbox.account.requests
    assert (request.api, request.endpoint, request.status, request.purchased) == ("number", "get", 200, True)
    assert request.numbers == (assigned[0], assigned[0], "12")


def test_a_refused_request_is_kept_as_no_purchase(client, sandbox, unassigned):
    client.single(unassigned[0])
    (request,) = sandbox.account.requests
    assert (request.endpoint, request.status, request.purchased) == ("single", 400, False)


def test_reset_empties_the_account_and_the_faults(client, sandbox, assigned):
    client.get(assigned[0])
    sandbox.fault("429")
    sandbox.reset()
    assert (sandbox.account.requests, sandbox.account.charged) == ([], 0)
    assert client.single(assigned[0]).status_code == 200


def test_purchases_are_shown_over_http(client, assigned):
    client.single(assigned[0])
    client.get(*assigned[:2])
    assert client.send("GET", "/sandbox/purchases").json() == {
        "requests": 2,
        "purchases": {"rcs": {assigned[0]: 1}, "number": dict.fromkeys(assigned[:2], 1)},
        "charged": "0.010",
    }


def test_requests_are_shown_over_http(client, assigned):
    client.single(assigned[0])
    (request,) = client.send("GET", "/sandbox/requests").json()
    assert (request["api"], request["numbers"], request["status"]) == ("rcs", [assigned[0]], 200)


def test_reset_works_over_http(client, sandbox, assigned):
    client.single(assigned[0])
    client.send("POST", "/sandbox/reset")
    assert sandbox.account.requests == []


def test_the_control_routes_are_no_requests(client, sandbox):
    assert client.send("GET", "/sandbox/nothing").status_code == 404
    client.send("GET", "/sandbox/purchases")
    assert sandbox.account.requests == []


def test_the_key_is_in_no_log(sandbox, client, assigned, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        client.single(assigned[0])
        client.single(assigned[0], headers={"api-key": "wrong"})
        address = ("127.0.0.1", sandbox.port)
        with socket.create_connection(address) as connection:
            connection.sendall(f"GET / HTTP/1.1\r\napi-key: {sandbox.api_key}\x00\r\n\r\n".encode())
            connection.recv(1000)
    assert sandbox.api_key not in caplog.text
    assert sandbox.api_key not in "".join(capfd.readouterr())
