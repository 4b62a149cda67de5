"""Made-up subscribers."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kaleyra.sandbox import Subscriber, subscriber
from airflow_provider_kaleyra.sandbox.models import calling_code


@pytest.fixture(scope="module")
def crowd() -> list[Subscriber]:
    return [subscriber(f"+9198{n:08d}") for n in range(20_000)]


@pytest.fixture(scope="module")
def people(crowd: list[Subscriber]) -> list[Subscriber]:
    return [person for person in crowd if person.assigned]


def share(crowd: list[Subscriber], condition: object) -> float:
    return sum(map(condition, crowd)) / len(crowd)


def test_a_subscriber_is_the_same_in_another_process():
    code = "from airflow_provider_kaleyra.sandbox import subscriber; print(subscriber('+919812345678'))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == repr(subscriber("+919812345678"))


def test_two_percent_are_unassigned(crowd):
    assert share(crowd, lambda p: not p.assigned) == pytest.approx(0.02, abs=0.004)


def test_sixty_percent_are_reached_by_rcs(people):
    assert share(people, lambda p: p.rcs_enabled is True) == pytest.approx(0.60, abs=0.015)


def test_of_one_percent_rcs_is_unknown(people):
    assert share(people, lambda p: p.rcs_enabled is None) == pytest.approx(0.01, abs=0.003)


def test_fifteen_percent_are_ported(people):
    assert share(people, lambda p: p.is_ported) == pytest.approx(0.15, abs=0.01)


def test_five_percent_roam(people):
    assert share(people, lambda p: p.roaming is not None) == pytest.approx(0.05, abs=0.006)


def test_an_inactive_carrier_never_has_rcs(people):
    inactive = [p for p in people if p.carrier_status == "INACTIVE"]
    assert inactive
    assert {p.rcs_enabled for p in inactive} == {False}


def test_a_ported_number_has_another_brand(people):
    assert all(p.original.brand != p.current.brand for p in people if p.is_ported)


def test_a_roaming_number_is_with_a_foreign_operator(people):
    assert all(p.roaming.mcc not in ("404", "405") for p in people if p.roaming)


@pytest.mark.parametrize(
    ("number", "country", "code", "mccs"),
    [
        ("+919812345678", "IN", 91, {"404", "405"}),
        ("+12025550123", "US", 1, {"310", "311"}),
        ("+447700900123", "GB", 44, {"234"}),
        ("+33612345678", "FR", 33, {"208"}),
        ("+4915112345678", "DE", 49, {"262"}),
        ("+393331234567", "IT", 39, {"222"}),
        ("+34612345678", "ES", 34, {"214"}),
        ("+61412345678", "AU", 61, {"505"}),
        ("+5511912345678", "BR", 55, {"724"}),
        ("+971501234567", "AE", 971, {"424"}),
        ("+6581234567", "SG", 65, {"525"}),
        ("+27821234567", "ZA", 27, {"655"}),
        ("+254712345678", "ZZ", 254, {"901"}),
    ],
)
def test_the_country_comes_from_the_calling_code(number, country, code, mccs):
    person = subscriber(number)
    assert (person.country, person.country_code) == (country, code)
    assert person.current.mcc in mccs


@pytest.mark.parametrize(
    ("number", "code"),
    [("+79161234567", "7"), ("+81312345678", "81"), ("+35312345678", "353"), ("+88012345678", "880")],
)
def test_a_calling_code_has_one_two_or_three_digits(number, code):
    assert calling_code(number) == code


@pytest.mark.parametrize(
    "text", ["919812345678", "+0123456789", "+123456", "+1234567890123456", "+٩١٩٨١٢٣٤٥", ""]
)
def test_only_e164_has_a_subscriber(text):
    with pytest.raises(ValueError, match=r"E\.164"):
        subscriber(text)


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_every_e164_number_has_a_subscriber_with_codes(number):
    person = subscriber(number)
    assert str(person.country_code) == calling_code(number)
    assert len(person.current.mcc) == 3
    assert person.current.mnc.isdigit()
