"""Endpoint 3: the number lookup."""

from __future__ import annotations

import pytest

from airflow_provider_kaleyra.sandbox import Sandbox, subscriber


def first(numbers, condition):
    return next(number for number in numbers if condition(subscriber(number)))


def test_the_envelope_is_as_documented(client, assigned):
    response = client.get(assigned[0], assigned[1])
    assert response.status_code == 200
    body = response.json()
    assert list(body) == [
        "code", "message", "price", "id", "total_processed_count", "data", "invalid_count", "duplicate_count",
    ]  # fmt: skip
    assert (body["code"], body["message"]) == ("LKP200", "Request processed successfully")
    assert [record["lookup_id"] for record in body["data"]] == [f"{body['id']}:1", f"{body['id']}:2"]


def test_a_record_has_every_documented_field(client, assigned):
    number = first(assigned, lambda p: p.is_ported and p.roaming)
    person = subscriber(number)
    body = client.get(number).json()
    assert body["data"] == [
        {
            "lookup_id": f"{body['id']}:1",
            "mobile_number": number[1:],
            "country": "IN",
            "country_code": 91,
            "current_mcc": person.current.mcc,
            "current_mnc": person.current.mnc,
            "current_operator": person.current.name,
            "original_mcc": person.original.mcc,
            "original_mnc": person.original.mnc,
            "original_operator": person.original.name,
            "roaming_mcc": person.roaming.mcc,
            "roaming_mnc": person.roaming.mnc,
            "roaming_opearator": person.roaming.name,
            "is_ported": 1,
        }
    ]


def test_codes_that_are_not_known_are_empty_text(client, assigned):
    number = first(assigned, lambda p: not p.is_ported and not p.roaming)
    record = client.get(number).json()["data"][0]
    assert {record[f"{which}_{code}"] for which in ("original", "roaming") for code in ("mcc", "mnc")} == {""}
    assert record["is_ported"] == 0


def test_a_network_code_keeps_its_leading_zero(client):
    french = (f"+336{n:08d}" for n in range(1000))
    number = first(french, lambda p: p.assigned and p.current.brand == "Orange")
    assert client.get(number).json()["data"][0]["current_mnc"] == "01"


@pytest.mark.parametrize("separator", [",", "%2C"])
def test_numbers_come_with_and_without_plus_between_commas(client, assigned, separator):
    response = client.get(f"{assigned[0][1:]}{separator}%2B{assigned[1][1:]}")
    assert [r["mobile_number"] for r in response.json()["data"]] == [assigned[0][1:], assigned[1][1:]]


def test_a_repeated_number_is_counted_and_answered_once(client, assigned):
    body = client.get(assigned[0], assigned[0][1:], assigned[1]).json()
    assert (len(body["data"]), body["duplicate_count"], body["total_processed_count"]) == (2, 1, 2)


def test_unassigned_and_malformed_numbers_are_counted_and_left_out(client, assigned, unassigned):
    body = client.get(assigned[0], unassigned[0], "12", "x", "").json()
    assert (len(body["data"]), body["invalid_count"]) == (1, 4)


def test_the_price_is_that_of_the_numbers_found(client, assigned, unassigned):
    assert client.get(*assigned[:4], unassigned[0]).json()["price"] == pytest.approx(0.02)


def test_the_price_is_a_float_with_its_noise(connect, assigned):
    with Sandbox(price="0.008") as sandbox:
        text = connect(sandbox).get(*assigned[:100]).text
    assert '"price": 0.80000000000000004,' in text


def test_nothing_found_costs_nothing(client, unassigned):
    body = client.get(unassigned[0]).json()
    assert (body["price"], body["data"]) == (0, [])


@pytest.mark.parametrize("content_type", [None, "text/plain"])
def test_the_content_type_header_is_wanted(client, assigned, content_type):
    response = client.get(assigned[0], headers={"Content-Type": content_type})
    assert (response.status_code, response.json()["code"]) == (400, "LKP400")


def test_no_number_is_refused(client):
    assert client.send("GET", "/v1/{sid}/lookup/").status_code == 400


def test_a_wrong_method_is_lkp405(client, assigned):
    response = client.send("DELETE", f"/v1/{{sid}}/lookup/{assigned[0]}")
    assert (response.status_code, response.json()["code"]) == (405, "LKP405")


def test_an_unknown_route_is_lkp404(client):
    response = client.send("GET", "/v2/anything")
    assert (response.status_code, response.json()["code"]) == (404, "LKP404")


def test_a_url_over_8190_bytes_is_refused(client, assigned, sandbox):
    assert client.get(*assigned, *assigned).status_code == 414
    assert sandbox.account.charged == 0
