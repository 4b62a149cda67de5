"""Kaleyra's answers, told apart by status, code and error together. Pure."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from airflow_provider_kaleyra import errors
from airflow_provider_kaleyra.api import wire
from airflow_provider_kaleyra.api.config import ClientConfig
from airflow_provider_kaleyra.api.models import DeviceLookup, NumberLookup

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ONE, TWO, THREE = "+12025550101", "+12025550102", "+12025550103"
CONFIG = ClientConfig.parse(login="HXAP1600000000IN", password="Ac4000000021f")


def answer(status: int, body: object, **headers: str) -> wire.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return wire.Response(status, CaseInsensitiveDict(fields), raw, NOW)


def failure(code: str, error_code: str, message: str) -> dict[str, Any]:
    """Kaleyra's envelope of a failure, as on the page of the Single Device Lookup."""
    error = {"error_code": error_code, "error_message": message}
    return {"code": code, "message": message, "data": [], "error": error}


def refused(status: int, body: object, **headers: str) -> errors.KaleyraError:
    with pytest.raises(errors.KaleyraError) as caught:
        wire.parse_devices(answer(status, body, **headers), [ONE])
    with pytest.raises(type(caught.value)):
        wire.parse_numbers(answer(status, body, **headers), [ONE])
    return caught.value


def record(number: str = ONE, **changes: object) -> dict[str, Any]:
    """A record of the GET API Lookup, as on its page."""
    return {
        "lookup_id": "2019-09-30messages:1",
        "mobile_number": number.removeprefix("+"),
        "country": "IN",
        "country_code": 91,
        "current_mcc": "404",
        "current_mnc": "070",
        "current_operator": "",
        "original_mcc": "",
        "original_mnc": "",
        "original_operator": "Airtel // Rajasthan",
        "roaming_mcc": "404",
        "roaming_mnc": "40",
        "roaming_opearator": "Airtel // Chennai",
        "is_ported": 0,
        **changes,
    }


def found(*records: object, **envelope: object) -> dict[str, Any]:
    """A successful answer of the GET API Lookup."""
    return {
        "code": "LKP200",
        "message": "Request processed successfully",
        "price": 0.80000000000000004,
        "id": "2019-09-30messages",
        "total_processed_count": len(records),
        "data": list(records),
        "invalid_count": 0,
        "duplicate_count": 0,
        **envelope,
    }


def device(number: str = ONE, **changes: object) -> dict[str, Any]:
    return {
        "deviceAddress": number,
        "carrierId": "Jio",
        "carrierStatus": "ACTIVE",
        "rcsEnabled": True,
        **changes,
    }


def reachable(data: object, **envelope: object) -> dict[str, Any]:
    """A successful answer of the device lookups."""
    return {"code": "RCS702", "message": "Device Lookup successful", "data": data, "error": {}, **envelope}


MISSING = failure("RCS702", "MISSING_REQUIRED_PARAMS", "device_address is required")
INVALID = failure("RCS704", "INVALID_FIELD_FORMAT", "Please enter a valid mobile number with country code.")
METHOD = failure("RCS405", "METHOD_NOT_ALLOWED", "Method not allowed")
CHANNEL = failure("RCS601", "RCS_CHANNEL_DISABLED", "RCS Channel is not enabled for this User")
UPSTREAM = failure("RCS704", "PROV_ERROR", "upstream error details")
ROUTE = failure("RCS404", "RCS404", "Route not found")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(400, MISSING, errors.BadRequestError, id="missing device address"),
        pytest.param(400, INVALID, errors.InvalidNumberError, id="invalid phone number"),
        pytest.param(405, METHOD, errors.ConfigurationError, id="wrong method"),
        pytest.param(401, CHANNEL, errors.RcsChannelDisabledError, id="RCS not enabled"),
        pytest.param(502, UPSTREAM, errors.ServiceError, id="upstream error"),
        pytest.param(404, ROUTE, errors.ConfigurationError, id="route not found"),
    ],
)
def test_each_documented_failure_is_an_error_of_its_kind_in_kaleyras_words(
    status: int, body: dict[str, Any], kind: type[errors.KaleyraError]
) -> None:
    error = refused(status, body, X_Request_Id="req-7")

    assert type(error) is kind
    assert (error.status, error.code, error.request_id) == (status, body["code"], "req-7")
    assert error.vendor_message == body["message"]
    assert body["message"] in str(error)


def test_one_code_stands_for_success_and_for_failure() -> None:
    assert ONE in wire.parse_devices(answer(200, reachable(device())), [ONE]).lookups
    assert type(refused(400, MISSING)) is errors.BadRequestError


@pytest.mark.parametrize("status", [400, 401])
def test_a_channel_that_is_off_is_told_by_its_code_whatever_the_status(status: int) -> None:
    assert type(refused(status, CHANNEL)) is errors.RcsChannelDisabledError


@pytest.mark.parametrize(("status", "body"), [(200, {"code": "RCS504"}), (504, UPSTREAM), (408, UPSTREAM)])
def test_a_time_out_is_told_by_its_code_or_its_status_whoever_waited(
    status: int, body: dict[str, Any]
) -> None:
    error = refused(status, body)

    assert type(error) is errors.AmbiguousOutcomeError
    assert (error.lookup_status, error.lookup_reason) == ("in_doubt", "no_answer")


def test_a_channel_that_is_off_is_told_by_its_code_or_its_error_alone() -> None:
    assert type(refused(400, CHANNEL | {"error": {}})) is errors.RcsChannelDisabledError
    assert type(refused(400, CHANNEL | {"code": "RCS904"})) is errors.RcsChannelDisabledError


@pytest.mark.parametrize("status", [400, 404, 409, 429, 500, 502])
def test_a_carriers_error_is_told_by_its_error_whatever_the_status(status: int) -> None:
    assert type(refused(status, UPSTREAM)) is errors.ServiceError


def test_a_401_without_the_channels_code_is_a_wrong_key() -> None:
    error = refused(401, failure("RCS401", "UNAUTHORIZED", "Invalid api-key"))

    assert type(error) is errors.AuthenticationError
    assert "login and password" in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequestError),
        (401, errors.AuthenticationError),
        (402, errors.SetupError),
        (403, errors.AuthenticationError),
        (404, errors.BadRequestError),
        (408, errors.AmbiguousOutcomeError),
        (409, errors.KaleyraError),
        (413, errors.BadRequestError),
        (429, errors.RateLimitedError),
        (500, errors.ServiceError),
        (501, errors.ServiceError),
        (503, errors.ServiceError),
        (504, errors.AmbiguousOutcomeError),
    ],
)
def test_an_unknown_code_is_told_by_its_status_and_kept_with_its_message(
    status: int, kind: type[errors.KaleyraError]
) -> None:
    error = refused(status, {"code": "LKP477", "message": "Something of our own"})

    assert type(error) is kind
    assert (error.code, error.vendor_message) == ("LKP477", "Something of our own")


@pytest.mark.parametrize("code", ["LKP400", "LKP503", "RCS500", "RCS601", "RCS701", "RCS704", "RCS904"])
def test_a_code_of_failure_is_no_success_even_with_status_200(code: str) -> None:
    assert refused(200, {"code": code, "message": "no", "data": [device(), record()]}).code == code


def test_an_error_in_an_answer_with_status_200_is_no_success() -> None:
    body = reachable(device(), error={"error_code": "PROV_ERROR", "error_message": "carrier down"})
    assert type(refused(200, body)) is errors.ServiceError


@pytest.mark.parametrize("error", [{}, [], None, "", {"error_code": "", "error_message": None}])
def test_an_empty_error_is_none(error: object) -> None:
    assert ONE in wire.parse_devices(answer(200, reachable(device(), error=error)), [ONE]).lookups


def test_an_outer_data_around_the_envelope_is_taken_off() -> None:
    wrapped = wire.parse_numbers(answer(200, {"data": found(record())}), [ONE])
    assert wrapped.lookups[ONE].lookup_id == "2019-09-30messages:1"
    assert refused(429, {"data": {"code": "LKP429", "message": "slow"}}).code == "LKP429"


HTML = b"<html><head><title>502 Bad Gateway</title></head></html>"


@pytest.mark.parametrize("body", [HTML, b"", b"{", b'{"ok": true}', b"[1]", b"null", b'"code"', b"\xff\xfe"])
@pytest.mark.parametrize("status", [200, 204, 307, 400, 408, 409, 418, 500, 502, 503, 504])
def test_an_answer_that_is_none_of_kaleyras_leaves_the_lookup_in_doubt(status: int, body: bytes) -> None:
    error = refused(status, body)

    assert type(error) is errors.UnreadableAnswerError
    assert (error.lookup_status, error.lookup_reason) == ("in_doubt", "unreadable_answer")


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_gateways_page_with_retry_after_is_in_doubt_all_the_same(status: int) -> None:
    assert type(refused(status, HTML, Retry_After="1")) is errors.UnreadableAnswerError


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.AuthenticationError),
        (402, errors.SetupError),
        (403, errors.AuthenticationError),
        (404, errors.ConfigurationError),
        (405, errors.ConfigurationError),
        (413, errors.BadRequestError),
        (414, errors.BadRequestError),
        (429, errors.RateLimitedError),
    ],
)
def test_a_gateway_that_lets_nothing_through_is_no_doubt(
    status: int, kind: type[errors.KaleyraError]
) -> None:
    assert type(refused(status, HTML)) is kind


@pytest.mark.parametrize("body", [HTML, {"code": "RCS429", "message": "slow down"}])
@pytest.mark.parametrize("status", [429, 503])
def test_an_answer_that_says_when_to_come_back_is_a_rate_limit(status: int, body: object) -> None:
    error = refused(status, body, Retry_After="7")

    assert isinstance(error, errors.RateLimitedError)
    assert error.retry_after == 7


def test_a_success_without_any_data_is_in_doubt() -> None:
    for data in (None, "yes", 1, [1, "x"], {"status": "fine"}):
        assert type(refused(200, reachable(data))) is errors.UnreadableAnswerError


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(device(), id="one object"),
        pytest.param([device()], id="a list"),
        pytest.param({"devices": [device()]}, id="an object around a list"),
        pytest.param({"invalid": ["+1", "x"], "devices": [device()]}, id="a list among others"),
        pytest.param([device(ONE.removeprefix("+"))], id="no plus"),
        pytest.param([device(int(ONE))], id="a whole number"),
        pytest.param({"DEVICEADDRESS": ONE, "CARRIERID": "Jio", "RCSENABLED": 1}, id="capitals"),
        pytest.param({"device_address": ONE, "carrier_id": "Jio", "rcs_enabled": "Yes"}, id="underscores"),
    ],
)
def test_a_devices_answer_is_read_in_each_shape_that_may_come(data: object) -> None:
    lookup = wire.parse_devices(answer(200, reachable(data)), [ONE]).lookups[ONE]

    assert isinstance(lookup, DeviceLookup)
    assert (lookup.phone_number, lookup.rcs_enabled, lookup.carrier_id) == (ONE, True, "Jio")
    assert (lookup.status, lookup.response_code) == ("ok", "RCS702")


@pytest.mark.parametrize(
    ("said", "meant"),
    [(True, True), (False, False), ("TRUE", True), ("false", False), (0, False), (None, None), ("?", None)],
)
def test_rcs_reach_is_yes_no_or_unknown(said: object, meant: bool | None) -> None:
    lookups = wire.parse_devices(answer(200, reachable(device(rcsEnabled=said))), [ONE]).lookups
    assert lookups[ONE].rcs_enabled is meant


def test_a_number_lookup_holds_every_documented_field() -> None:
    lookups = wire.parse_numbers(answer(200, found(record())), [ONE]).lookups

    assert lookups[ONE] == NumberLookup(
        phone_number=ONE,
        response_code="LKP200",
        lookup_id="2019-09-30messages:1",
        country="IN",
        country_code=91,
        current_mcc="404",
        current_mnc="070",
        original_operator="Airtel // Rajasthan",
        roaming_mcc="404",
        roaming_mnc="40",
        roaming_operator="Airtel // Chennai",
        is_ported=False,
        price=Decimal("0.8"),
    )


def test_roaming_operator_may_be_spelt_right() -> None:
    right = record(roaming_operator="Airtel // Chennai")
    del right["roaming_opearator"]
    lookups = wire.parse_numbers(answer(200, found(right)), [ONE]).lookups
    assert lookups[ONE].roaming_operator == "Airtel // Chennai"


@pytest.mark.parametrize(("said", "meant"), [("1", True), ("0", False), (1, True), (None, None), (7, None)])
def test_ported_may_be_text_or_number(said: object, meant: bool | None) -> None:
    lookups = wire.parse_numbers(answer(200, found(record(is_ported=said))), [ONE]).lookups
    assert lookups[ONE].is_ported is meant


def test_a_price_is_shared_over_the_numbers_that_were_answered() -> None:
    parsed = wire.parse_numbers(answer(200, found(record(ONE), record(TWO), price=0.01)), [ONE, TWO, THREE])

    assert parsed.price == Decimal("0.01")
    assert [lookup.price for lookup in parsed.lookups.values()] == [Decimal("0.005")] * 2


@pytest.mark.parametrize("price", [None, "free", [], {}, -1, 1e12, float("nan"), float("inf")])
def test_an_answer_without_a_readable_price_is_kept_and_the_price_is_told(
    price: object, caplog: pytest.LogCaptureFixture
) -> None:
    parsed = wire.parse_numbers(answer(200, found(record(), price=price)), [ONE])

    assert parsed.price is None
    assert parsed.lookups[ONE].price is None
    assert parsed.lookups[ONE].country == "IN"
    assert ("price" in caplog.text) is (price is not None)


def test_records_of_strangers_and_repetitions_are_ignored_and_counted() -> None:
    body = found(record(ONE, country="IN"), record(THREE), record(ONE, country="US"), {"no": "number"})
    parsed = wire.parse_numbers(answer(200, body), [ONE, TWO])

    assert list(parsed.lookups) == [ONE]
    assert parsed.lookups[ONE].country == "IN"
    assert parsed.ignored == 3


def test_what_no_database_takes_is_taken_out_of_an_answer() -> None:
    body = found(record(current_operator="Air\0tel \ud800", country_code=10**12))
    lookup = wire.parse_numbers(answer(200, body), [ONE]).lookups[ONE]

    assert lookup.country_code is None
    assert lookup.current_operator == "Air\ufffdtel \ufffd"


def test_texts_of_any_length_are_read_at_once_and_kept_as_far_as_every_database_takes_them() -> None:
    long = "z" * 50_000
    began = time.monotonic()
    lookup = wire.parse_numbers(answer(200, found(record(current_operator=long))), [ONE]).lookups[ONE]
    error = refused(400, failure(f"LKP400{long}", long, long), X_Request_Id=long)

    assert time.monotonic() - began < 2
    assert lookup.current_operator == "z" * 2_000
    assert error.vendor_message == "z" * 2_000
    assert len(str(error)) < 7_000


def test_numbers_stand_in_a_request_as_on_kaleyras_pages() -> None:
    rcs = "https://rcs-api.na.kaleyra.io/v1/HXAP1600000000IN/rcs/lookup"
    single = wire.build_device_lookup(CONFIG, ONE)
    bulk = wire.build_devices_lookup(CONFIG, [ONE, TWO])
    many = wire.build_numbers_lookup(CONFIG, [ONE, TWO])

    assert (single.method, single.url) == ("GET", f"{rcs}/%2B12025550101")
    assert (bulk.method, bulk.url) == ("POST", f"{rcs}/bulk")
    assert json.loads(bulk.body or b"") == {"deviceAddresses": [ONE, TWO]}
    assert (many.method, many.url) == (
        "GET",
        "https://api.kaleyra.io/v1/HXAP1600000000IN/lookup/12025550101,12025550102",
    )
    for request in (single, bulk, many):
        assert request.headers == {"Accept": "application/json", "Content-Type": "application/json"}


def test_five_hundred_numbers_fit_in_a_url() -> None:
    longest = [f"+99{n:013d}" for n in range(wire.NUMBERS_MOST)]
    assert len(wire.build_numbers_lookup(CONFIG, longest).url) < 8190


@pytest.mark.parametrize(
    "text",
    ["12025550101", f"{ONE},{TWO}", f"{ONE}/../x", "", "+0", "+1202555010a", f"{ONE}\n", "+" + "1" * 16],
)
def test_what_is_not_e164_is_in_no_request(text: str) -> None:
    for build in (
        lambda: wire.build_device_lookup(CONFIG, text),
        lambda: wire.build_devices_lookup(CONFIG, [ONE, text]),
        lambda: wire.build_numbers_lookup(CONFIG, [ONE, text]),
    ):
        with pytest.raises(errors.NotE164Error) as caught:
            build()
        assert caught.value.lookup_status == "invalid"


def test_a_lookup_id_stays_one_step_of_the_path() -> None:
    request = wire.build_lookup_details(CONFIG, "2019:1/../../x?y#z")
    assert request.url.endswith("/lookup/get-info/2019:1%2F..%2F..%2Fx%3Fy%23z")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
CODES = st.sampled_from(["LKP200", "RCS702", "RCS704", "lkp200", "LKP499"]) | VALUES
KEYS = st.sampled_from([*record(), *device(), "devices", "Device_Address"])
RECORDS = st.fixed_dictionaries(
    {}, optional={"mobile_number": st.just(ONE[1:]) | VALUES, "deviceAddress": st.just(ONE) | VALUES}
).flatmap(lambda base: st.dictionaries(KEYS, VALUES, max_size=6).map(lambda more: {**more, **base}))
DATA = VALUES | RECORDS | st.lists(RECORDS, max_size=4) | st.dictionaries(KEYS, st.lists(RECORDS), max_size=3)
ENVELOPES = st.fixed_dictionaries(
    {"code": CODES, "data": DATA}, optional={"error": VALUES, "message": VALUES, "price": VALUES}
)
ANSWERS = st.builds(
    lambda status, body, retry_after: answer(status, body, Retry_After=retry_after),
    st.sampled_from([200, 202, 301, 400, 401, 404, 429, 500, 503]),
    st.binary() | VALUES | ENVELOPES | st.fixed_dictionaries({"data": ENVELOPES}),
    st.text(st.characters(codec="latin-1"), max_size=20),
)


@given(ANSWERS)
def test_no_answer_whatever_raises_anything_but_an_error_of_ours(response: wire.Response) -> None:
    for parse, kind in ((wire.parse_devices, DeviceLookup), (wire.parse_numbers, NumberLookup)):
        try:
            parsed = parse(response, [ONE, TWO])
        except errors.KaleyraError:
            pass
        else:
            assert set(parsed.lookups) <= {ONE, TWO}
            assert all(type(lookup) is kind for lookup in parsed.lookups.values())
            assert parsed.ignored >= 0
            assert parsed.refused >= 0
