"""Endpoints 1 and 2: RCS lookups."""

from __future__ import annotations

import pytest

from airflow_provider_kaleyra.sandbox import Sandbox, subscriber

INVALID = "Please enter a valid mobile number with country code."


def envelope(code: str, error_code: str, message: str) -> dict[str, object]:
    error = {"error_code": error_code, "error_message": message}
    return {"code": code, "message": message, "data": [], "error": error}


@pytest.fixture(scope="module")
def without_rcs():
    with Sandbox(rcs_enabled=False) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def with_object():
    with Sandbox(bulk_shape="object") as sandbox:
        yield sandbox


def test_single_lookup_answers_as_documented(client, assigned):
    person = subscriber(assigned[0])
    response = client.single(assigned[0])
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {
        "code": "RCS702",
        "message": "Device Lookup successful",
        "data": {
            "deviceAddress": person.number,
            "carrierId": person.current.brand,
            "carrierStatus": person.carrier_status,
            "rcsEnabled": person.rcs_enabled,
        },
        "error": {},
    }


@pytest.mark.parametrize("spelling", ["{}", "+{}", "%2B{}", "%2b{}"])
def test_single_lookup_takes_a_number_with_and_without_plus(client, assigned, spelling):
    response = client.send("GET", "/v1/{sid}/rcs/lookup/" + spelling.format(assigned[0][1:]))
    assert response.json()["data"]["deviceAddress"] == assigned[0]


@pytest.mark.parametrize(
    "path", ["/v1/{sid}/rcs/lookup/", "/v1/{sid}/rcs/lookup", "/v1/{sid}/rcs/lookup/%20"]
)
def test_a_missing_address_is_rcs702_with_400(client, path):
    response = client.send("GET", path)
    assert response.status_code == 400
    assert response.json() == envelope("RCS702", "MISSING_REQUIRED_PARAMS", "device_address is required")


@pytest.mark.parametrize(
    "text",
    ["123456", "+1234567890123456", "0919812345", "abc", "91 9812345678", "%2B%2B919812345678", "bulk"],
)
def test_what_is_no_number_is_rcs704(client, text):
    response = client.send("GET", f"/v1/{{sid}}/rcs/lookup/{text}")
    assert response.status_code == 400
    assert response.json() == envelope("RCS704", "INVALID_FIELD_FORMAT", INVALID)


@pytest.mark.parametrize("digits", [7, 15])
def test_e164_has_seven_to_fifteen_digits(client, digits):
    number = next(n for n in (f"+49{k:0{digits - 2}d}" for k in range(99)) if subscriber(n).assigned)
    assert client.single(number).status_code == 200


def test_an_unassigned_number_is_rcs704(client, unassigned):
    response = client.single(unassigned[0])
    assert response.status_code == 400
    assert response.json() == envelope("RCS704", "INVALID_FIELD_FORMAT", INVALID)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/{sid}/rcs/lookup/919812345678"), ("DELETE", "/v1/{sid}/rcs/lookup/919812345678"),
     ("PUT", "/v1/{sid}/rcs/lookup/bulk")],
)  # fmt: skip
def test_a_wrong_method_is_rcs405(client, method, path):
    response = client.send(method, path)
    assert response.status_code == 405
    assert response.json() == envelope("RCS405", "METHOD_NOT_ALLOWED", "Method not allowed")


@pytest.mark.parametrize("path", ["/v1/{sid}/rcs/lookups/1", "/v1/{sid}/rcs/lookup/1/2", "/v1/{sid}/rcs"])
def test_an_unknown_route_is_rcs404(client, path):
    response = client.send("GET", path)
    assert response.status_code == 404
    assert response.json() == envelope("RCS404", "RCS404", "Route not found")


def test_without_the_channel_a_single_lookup_is_rcs601(without_rcs, connect, assigned):
    response = connect(without_rcs).single(assigned[0])
    assert response.status_code == 401
    message = "RCS Channel is not enabled for this User"
    assert response.json() == envelope("RCS601", "RCS_CHANNEL_DISABLED", message)


def test_without_the_channel_a_bulk_lookup_is_rcs601(without_rcs, connect, assigned):
    response = connect(without_rcs).bulk(assigned[:100])
    assert (response.status_code, response.json()["code"]) == (401, "RCS601")


def test_without_the_channel_number_lookups_work(without_rcs, connect, assigned):
    assert connect(without_rcs).get(assigned[0]).json()["code"] == "LKP200"


def test_a_provider_error_is_rcs704_with_502(client, sandbox, assigned):
    sandbox.fault("prov_error")
    response = client.single(assigned[0])
    assert response.status_code == 502
    body = response.json()
    assert (body["code"], body["message"], body["data"]) == ("RCS704", "Device lookup failed", [])
    assert body["error"]["error_code"] == "PROV_ERROR"


@pytest.mark.parametrize("accept", [None, "*/*", "text/html"])
def test_single_lookup_wants_its_accept_header(client, assigned, accept):
    response = client.single(assigned[0], headers={"Accept": accept})
    assert response.status_code == 400


def test_bulk_lookup_answers_with_a_list(client, assigned):
    response = client.bulk(assigned[:100])
    assert response.status_code == 200
    body = response.json()
    assert (body["code"], body["error"]) == ("RCS702", {})
    assert [device["deviceAddress"] for device in body["data"]] == assigned[:100]
    assert body["data"][0] == client.single(assigned[0]).json()["data"]


def test_bulk_lookup_answers_with_an_object_if_told(with_object, connect, assigned):
    data = connect(with_object).bulk(assigned[:100]).json()["data"]
    assert [device["deviceAddress"] for device in data["devices"]] == assigned[:100]


@pytest.mark.parametrize(("count", "status"), [(1, 400), (99, 400), (100, 200), (500, 200), (501, 400)])
def test_bulk_lookup_takes_100_to_500(client, assigned, count, status):
    assert client.bulk(assigned[:count]).status_code == status


def test_bulk_lookup_counts_after_dropping_duplicates(client, assigned):
    without_plus = [number[1:] for number in assigned[:99]]
    assert client.bulk(assigned[:99] + without_plus).status_code == 400


def test_bulk_lookup_drops_what_is_no_number(client, assigned):
    body = client.bulk([*assigned[:100], "", "abc", "+123", "+0123456789", None, 919812345678]).json()
    assert len(body["data"]) == 100


def test_bulk_lookup_adds_a_missing_plus(client, assigned):
    body = client.bulk([number[1:] for number in assigned[:100]]).json()
    assert [device["deviceAddress"] for device in body["data"]] == assigned[:100]


def test_bulk_lookup_leaves_out_unassigned_numbers(client, assigned, unassigned):
    body = client.bulk(assigned[:99] + unassigned[:1]).json()
    assert [device["deviceAddress"] for device in body["data"]] == assigned[:99]


def test_bulk_lookup_of_no_json_is_rcs701(client):
    response = client.send("POST", "/v1/{sid}/rcs/lookup/bulk", data="{")
    assert (response.status_code, response.json()["code"]) == (400, "RCS701")


@pytest.mark.parametrize("body", [{}, [], {"deviceAddresses": []}, {"deviceAddresses": "+919812345678"}])
def test_bulk_lookup_without_addresses_is_rcs702(client, body):
    response = client.send("POST", "/v1/{sid}/rcs/lookup/bulk", json=body)
    assert (response.status_code, response.json()["code"]) == (400, "RCS702")


def test_bulk_lookup_wants_its_content_type(client, assigned):
    response = client.bulk(assigned[:100], headers={"Content-Type": "text/plain"})
    assert response.status_code == 400
