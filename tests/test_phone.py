"""Raw text in, an E.164 number or a reason out; and what of a number a log may show."""

from __future__ import annotations

import csv
import io
import pickle
import re
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal
from importlib.resources import files

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_kaleyra.phone import (
    REASONS,
    InvalidNumber,
    PhoneNumber,
    check_region,
    mask,
    mask_text,
    read,
)

LONDON = "+442079460123"


def e164(raw: object, **settings) -> str:
    number = read(raw, **settings)
    assert isinstance(number, PhoneNumber), (raw, number)
    return number.e164


def reason(raw: object, **settings) -> str:
    number = read(raw, **settings)
    assert isinstance(number, InvalidNumber), (raw, number)
    return number.reason


# --- the many spellings of one number -------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("+442079460123", id="E.164"),
        pytest.param("+44 20 7946 0123", id="spaces"),
        pytest.param("+44-20-7946-0123", id="dashes"),
        pytest.param("+44.20.7946.0123", id="dots"),
        pytest.param("+44 (20) 7946 0123", id="brackets"),
        pytest.param("(+44) 20 7946 0123", id="brackets around the country code"),
        pytest.param("+44 [20] 7946-0123", id="square brackets"),
        pytest.param("+44 (0)20 7946 0123", id="trunk zero"),
        pytest.param("+44 ( 0 ) 20 7946 0123", id="trunk zero with blanks"),
        pytest.param("+44(0)2079460123", id="trunk zero without blanks"),
        pytest.param("+4402079460123", id="trunk zero without brackets"),
        pytest.param("00442079460123", id="00"),
        pytest.param("00 44 20 7946 0123", id="00 with blanks"),
        pytest.param("0044 (0)20 7946 0123", id="00 and trunk zero"),
        pytest.param("tel:+442079460123", id="tel URI"),
        pytest.param("tel:+44-20-7946-0123", id="tel URI with dashes"),
        pytest.param("TEL: +44 20 7946 0123", id="tel as people write it"),
        pytest.param("tel:+442079460123;cic=+1-6789", id="tel URI with a parameter"),
        pytest.param("tel:2079460123;phone-context=+44", id="tel URI with a phone-context"),
        pytest.param("+44\u00a020\u00a07946\u00a00123", id="non-breaking spaces"),
        pytest.param("+44\u202f20\u20097946\u30000123", id="narrow, thin and wide spaces"),
        pytest.param("\ufeff+44\u200b20\u200d7946\u20600123", id="zero-width characters"),
        pytest.param("\u202a+44 20 7946 0123\u202c", id="bidirectional marks"),
        pytest.param("+44\u00ad2079460123", id="soft hyphen"),
        pytest.param("+44\u201020\u20117946\u20130123", id="hyphens and an en dash"),
        pytest.param("+44\u201420\u22127946\uff0d0123", id="em dash, minus and fullwidth dash"),
        pytest.param("＋４４２０７９４６０１２３", id="fullwidth"),
        pytest.param("+٤٤٢٠٧٩٤٦٠١٢٣", id="Arabic-Indic digits"),
        pytest.param("+۴۴۲۰۷۹۴۶۰۱۲۳", id="Persian digits"),
        pytest.param("+४४२०७९४६०१२३", id="Devanagari digits"),
        pytest.param("+44२०79४६0123", id="two scripts"),
        pytest.param("+442079460123.0", id="a float's end"),
        pytest.param("+442079460123.00", id="a decimal's end"),
        pytest.param("+4.42079460123E+11", id="exponent with every digit"),
        pytest.param("\t +442079460123 \r\n", id="blanks around it"),
        pytest.param("'+442079460123", id="a spreadsheet's text mark"),
        pytest.param('="+442079460123"', id="a spreadsheet's text formula"),
        pytest.param("+442079460123;", id="a separator behind it"),
    ],
)
def test_every_spelling_of_a_number_reads_as_the_same_e164(raw):
    assert e164(raw) == LONDON


def test_a_slash_behind_an_area_code_is_a_separator():
    assert e164("+49 (0)30/23125123") == e164("+49 30/23125 123") == "+493023125123"


def test_italy_dials_the_zero_that_britain_drops():
    assert e164("+39 (0)6 12345678") == "+390612345678"
    assert e164("+44 (0)20 7946 0123") == LONDON


def test_a_bracketed_zero_that_could_be_meant_either_way_is_refused():
    assert e164("+39 312 345 6789") != e164("+39 0312 345 6789")
    assert reason("+39 (0)312 345 6789") == "ambiguous_zero"


# --- numbers that were numbers on their way here --------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        442079460123,
        442079460123.0,
        Decimal(442079460123),
        Decimal("442079460123.00"),
        Decimal("4.42079460123E+11"),
        "442079460123",
        "442079460123.0",
        "442079460123,0",
        "4.42079460123E+11",
        "4.42079460123e11",
        "4,42079460123E+11",
    ],
    ids=repr,
)
def test_digits_are_read_exactly_from_a_number(raw):
    assert e164(raw, assume_country_code=True) == LONDON


def test_the_float_ending_goes_before_the_country_is_read():
    assert e164("919812345678.0", default_region="IN") == "+919812345678"
    assert e164(9812345678.0, default_region="IN") == "+919812345678"


@pytest.mark.parametrize(
    "raw",
    [
        "9.19812E+11",
        "9.1981234567E+11",
        "9,19812E+11",
        "9E+11",
        "1E+999999999",
        "919812000000.0",
        9.19812e11,
        1e300,
        Decimal("9.19812E+11"),
        Decimal("1E+999999999"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("settings", [{}, {"assume_country_code": True}, {"default_region": "IN"}], ids=str)
def test_a_rounded_number_has_lost_digits(raw, settings):
    assert reason(raw, **settings) == "lost_digits"


def test_a_zero_at_the_end_is_no_lost_digit():
    assert e164(919812345670.0, assume_country_code=True) == "+919812345670"
    assert e164("9.19812345670E+11", assume_country_code=True) == "+919812345670"


@pytest.mark.parametrize(
    "raw",
    ["-9812345587", -9812345587, "\u22129812345587", 4420794601.23, "442079460123.5", 2079460.123, "9.1E-11"],
    ids=repr,
)
def test_what_a_spreadsheet_calculated_is_no_number(raw):
    # Typed as +91-9812345678, a spreadsheet subtracts.
    assert reason(raw, assume_country_code=True) == "not_whole_number"


@pytest.mark.parametrize(
    "raw",
    [
        True,
        False,
        b"+442079460123",
        [LONDON],
        {"phone": LONDON},
        object(),
        1j,
        float("nan"),
        float("inf"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("-Infinity"),
    ],
    ids=repr,
)
def test_only_text_and_numbers_are_read(raw):
    assert reason(raw) == "not_text"


# --- the reasons ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (None, "empty"),
        ("", "empty"),
        (" \t\n", "empty"),
        ("\u200b", "empty"),
        ("\x00", "empty"),
        ("-", "empty"),
        ("+", "empty"),
        ("?", "empty"),
        ("tel:", "empty"),
        ("tel:+", "empty"),
        ("N/A", "empty"),
        ("#N/A", "empty"),
        ("null", "empty"),
        ("None", "empty"),
        ("NaN", "empty"),
        ("unknown", "empty"),
        ("abcd", "letters"),
        ("see notes", "letters"),
        ("1-800-FLOWERS", "letters"),
        ("+1 412 535 abcd", "letters"),
        ("+44 20 7946 O123", "letters"),
        ("+44 20 7946 0O123", "letters"),
        ("+44 7700 9O0123", "letters"),
        ("+44207946O0123", "letters"),
        ("+44 20 7946 0123 (home)", "letters"),
        ("Mobile: +44 20 7946 0123", "letters"),
        ("+44 20 7946 0123²", "letters"),
        ("+44 20 7946 01\x0023", "letters"),
        ("+44 20 7946 01\ud80023", "letters"),
        ("*#06#", "letters"),
        ("+1 202-555-0123 x123", "extension"),
        ("+1 202-555-0123x123", "extension"),
        ("+1 202-555-0123 ext. 12", "extension"),
        ("+1 202-555-0123, Ext 12", "extension"),
        ("+1 202-555-0123 extension: 12", "extension"),
        ("+1 202-555-0123 #12", "extension"),
        ("+1 202-555-0123,,12#", "extension"),
        ("+1 202-555-0123;ext=12", "extension"),
        ("tel:+1-202-555-0123;ext=12", "extension"),
        ("tel:+1-202-555-0123;isub=12", "extension"),
        ("202-555-0123 x12", "extension"),
        ("+442079460123, +442079460124", "two_numbers"),
        ("+442079460123,+442079460124", "two_numbers"),
        ("+442079460123 / +442079460124", "two_numbers"),
        ("+442079460123;+442079460124", "two_numbers"),
        ("tel:+442079460123;+442079460124", "two_numbers"),
        ("+442079460123|+442079460124", "two_numbers"),
        ("+442079460123\n+442079460124", "two_numbers"),
        ("+442079460123\u2028+442079460124", "two_numbers"),
        ("+442079460123 & +442079460124", "two_numbers"),
        ("+442079460123 or +442079460124", "two_numbers"),
        ("+442079460123or442079460124", "two_numbers"),
        ("2025550123o2125550124", "two_numbers"),
        ("+442079460123 (home) +442079460124 (work)", "two_numbers"),
        ("+442079460123 +442079460124", "two_numbers"),
        ("+442079460123+442079460124", "two_numbers"),
        ("+442079460123442079460124", "two_numbers"),
        ("2025550123 2125550124", "two_numbers"),
        ("+1 202-555-0123 or 0124", "two_numbers"),
        ("+49 30 23125123/124", "two_numbers"),
        ("2025550123, 56789", "two_numbers"),
        ("++442079460123", "misplaced_plus"),
        ("(44)+2079460123", "misplaced_plus"),
        ("442079460123+", "misplaced_plus"),
        ("2025550123", "no_country_code"),
        ("(202) 555-0123", "no_country_code"),
        ("020 7946 0123", "no_country_code"),
        ("442079460123", "no_country_code"),
        ("919812345678.0", "no_country_code"),
        ("9.19812345678E+11", "no_country_code"),
        (919812345678, "no_country_code"),
        ("+999 2079460123", "unknown_country_code"),
        ("+0044 20 7946 0123", "unknown_country_code"),
        ("000442079460123", "unknown_country_code"),
        ("56789", "short_code"),
        ("112", "short_code"),
        ("0", "short_code"),
        (56789.0, "short_code"),
        ("+9156789", "short_code"),
        ("+1 202 555", "too_short"),
        ("+1 555 0123", "too_short"),
        ("+33 1 99 00 12", "too_short"),
        ("+1", "too_short"),
        ("+44 20 7946 01234", "too_long"),
        ("4111 1111 1111 1111", "too_long"),
        ("+" + "1" * 100_000, "too_long"),
        ("9" * 100_000, "too_long"),
        (10**5000, "too_long"),
        (-(10**5000), "too_long"),
        ("+61 2 5550 1234 56", "impossible"),
        ("+44 7700 900123", "not_valid"),
        ("+1 202 055 0123", "not_valid"),
    ],
    ids=lambda value: repr(value)[:50] if not isinstance(value, int) or abs(value) < 10**20 else "a huge int",
)
def test_each_refusal_has_its_own_reason(raw, why):
    assert reason(raw) == why


def test_every_reason_is_explained_in_one_sentence():
    for code, sentence in REASONS.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code)
        assert sentence[0].isupper()
        assert sentence.endswith(".")


# --- Law 8: never guess a country -----------------------------------------------------------------


@pytest.mark.parametrize(
    "raw", ["9812345678", "2025550134", "7911123456", 9812345678, "02079460123"], ids=repr
)
def test_law_8_a_country_is_never_guessed(raw):
    assert reason(raw) == "no_country_code"


@pytest.mark.parametrize(
    ("raw", "region", "number"),
    [
        ("9812345678", "IN", "+919812345678"),
        ("09812345678", "IN", "+919812345678"),
        ("919812345678", "IN", "+919812345678"),
        ("(202) 555-0123", "US", "+12025550123"),
        ("1-202-555-0123", "US", "+12025550123"),
        ("202.5550123", "US", "+12025550123"),
        ("020 7946 0123", "GB", "+442079460123"),
        ("(0)20 7946 0123", "GB", "+442079460123"),
        ("030/23125123", "DE", "+493023125123"),
        ("tel:020-7946-0123;phone-context=example.com", "GB", "+442079460123"),
        ("020 7946 0123", "gb", "+442079460123"),
    ],
)
def test_a_default_region_reads_numbers_as_dialled_there(raw, region, number):
    assert e164(raw, default_region=region) == number


def test_a_plus_goes_before_the_default_region():
    assert e164("+12025550123", default_region="IN") == "+12025550123"


def test_a_default_region_brings_its_own_prefix_for_calls_abroad():
    assert e164("011 44 20 7946 0123", default_region="US") == LONDON
    assert e164("0011 44 20 7946 0123", default_region="AU") == LONDON
    assert e164("00 44 20 7946 0123", default_region="DE") == LONDON
    assert e164("00700 49 176 04069001", default_region="KR") == "+4917604069001"
    assert isinstance(read("00 44 20 7946 0123", default_region="US"), InvalidNumber)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("5555555555", "not_valid"),
        ("98123", "short_code"),
        ("112", "short_code"),
        ("98123456789012", "too_long"),
    ],
)
def test_a_default_region_accepts_only_valid_numbers(raw, why):
    assert reason(raw, default_region="IN") == why


def test_a_national_number_too_long_for_e164_is_refused():
    assert reason("030 23125123 1234", default_region="DE") == "too_long"


def test_assume_country_code_reads_digits_as_if_a_plus_stood_in_front():
    assert e164("442079460123", assume_country_code=True) == LONDON
    assert e164("44 (0)20 7946 0123", assume_country_code=True) == LONDON


def test_assume_country_code_does_not_make_a_country_code_of_a_trunk_zero():
    assert reason("020 7946 0123", assume_country_code=True) == "no_country_code"


def test_with_both_settings_the_national_reading_goes_first():
    both = {"default_region": "US", "assume_country_code": True}
    assert e164("431 555 0123", **both) == "+14315550123"
    assert e164("431 555 0123", assume_country_code=True) == "+4315550123"
    assert e164("442079460123", **both) == LONDON
    assert reason("442079460123", default_region="US") == "too_long"


@pytest.mark.parametrize("region", ["UK", "XX", "", "IND", "+91", "001", 91])
def test_an_unknown_region_is_named_with_its_parameter(region):
    with pytest.raises(ValueError, match="default_region"):
        check_region(region)


@pytest.mark.parametrize("region", [None, "IN", "us"])
def test_a_known_region_passes(region):
    check_region(region)


# --- Law 7: numbers are people --------------------------------------------------------------------


def test_law_7_a_number_does_not_show_in_its_text_forms():
    number = read(LONDON)
    shown = f"{number} {number!r} {number!s} {[number]} {number:}"
    assert "2079460123" not in shown
    assert "+44********23" in shown


def test_a_number_survives_pickling_and_compares_by_its_e164():
    number = read("+44 20 7946 0123")
    assert pickle.loads(pickle.dumps(number)) == number == PhoneNumber(LONDON)
    assert len({number, PhoneNumber(LONDON)}) == 1


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+919812345678", "+91********78"),
        ("+91 98123 45678", "+91********78"),
        ("＋९१९८१२३४५६७८", "+91********78"),
        ("9812345678", "********78"),
        ("+6834000", "*******"),
        ("+29022158", "******58"),
        ("56789", "*****"),
        ("N/A", "***"),
        ("", "***"),
    ],
)
def test_a_masked_number_keeps_its_head_and_two_digits(number, shown):
    assert mask(number) == shown


@given(st.text(max_size=40) | st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_a_mask_hides_at_least_six_digits_or_all(number):
    digits = sum(char.isdecimal() for char in number)
    shown = sum(char.isdecimal() for char in mask(number))
    assert shown == 0 or digits - shown >= 6
    assert shown <= 4
    assert re.fullmatch(r"(\+[0-9]{2})?\*{3,}([0-9]{2})?", mask(number))


@pytest.mark.parametrize(
    "number",
    [
        "+919812345678",
        "9812345678",
        "+91 98123 45678",
        "+91-98123-45678",
        "(202) 555-0123",
        "+49 (0)30/23125-123",
        "0199 00 12 34",
        "+91\u00a098123\u200b45678",
        "+91\u201198123\u201345678",
        "+९१ ९८१२३ ४५६७८",
        "９８１２３４５６７８",
        r"+91\xa098123\xa045678",
        r"+91\u200b98123\u200b45678",
        r"98123\n45678",
        "919,812,345,678",
        "98123        45678",
        "phone9812345678",
        "%2B919812345678",
        "9.19812345678E+11",
        "1998-12-123456",
    ],
)
@pytest.mark.parametrize(
    "text", ["{}", "Key (phone)=({}) already exists.", "['{}', None]", 'value "{}" at line 12']
)
def test_law_7_a_number_in_free_text_is_masked(text, number):
    masked = mask_text(text.format(number))
    visible = [char for char in masked.replace("line 12", "").replace("E+11", "") if char.isdecimal()]
    assert len(visible) <= 4
    assert masked.startswith(text.partition("{")[0])
    assert masked.endswith(text.partition("}")[2])


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-09",
        "at 2026-05-09 07:35:25.123456+00:00",
        "manual__2026-05-09T07:35:25.123456+00:00",
        "[2026-05-09 07:35:25,123] ERROR",
        "0190d5c4-8a6b-7f12-9e34-56789abcdef0",
        "batch 12345678-1234-5678-9012-123456789012 failed",
        'psycopg.errors.UniqueViolation: line 12, column 34: "23505"',
        "(1, 2, 3, 4, 5, 6, 7, 8)",
        "<object at 0x7f3a9c0d1e2b>",
        "",
    ],
)
def test_dates_and_ids_in_free_text_stay(text):
    assert mask_text(text) == text


def test_each_number_of_a_text_is_masked_by_itself():
    assert mask_text("from '+919812345678' to '+442079460123'") == "from '+91********78' to '+44********23'"


# --- for any input whatsoever ---------------------------------------------------------------------

NUMBERS = [
    number
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE)
    if (number := phonenumbers.example_number_for_type(region, kind))
]
numberish = st.text(alphabet="0123456789+-. ()/,;xE#:telTEL\n\u00a0\u200b٠١٢९", max_size=30)
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**6, max_value=10**16),
    st.floats(),
    st.decimals(),
    st.builds(
        lambda mantissa, power: Decimal(mantissa).scaleb(power), st.integers(0, 99), st.integers(-5000, 5000)
    ),
    st.binary(),
    st.text(),
    st.text(alphabet=st.characters()),  # lone surrogates too
    numberish,
    st.lists(st.text()),
)


@given(anything, st.sampled_from([None, "IN", "US", "IT", "DE", "XX"]), st.booleans())
@example("\ud800", None, False)
@example("tel:;phone-context=+", None, False)
@example(Decimal("1E-999999999"), "IN", True)
@example(Decimal("NaN12"), "IN", True)
def test_reading_never_raises_and_gives_e164_or_a_known_reason(raw, region, assume):
    number = read(raw, default_region=region, assume_country_code=assume)
    if isinstance(number, InvalidNumber):
        assert number.reason in REASONS
        return
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", number.e164, re.ASCII)
    assert phonenumbers.is_valid_number(phonenumbers.parse(number.e164))
    assert read(number.e164) == number


@given(numberish)
def test_digits_without_plus_or_00_are_never_accepted_unasked(raw):
    plain = raw.replace("+", "").replace("00", "").replace("٠", "")
    if plain.strip().startswith("00") or re.match(r"\D*0\D*0", plain):
        return
    assert isinstance(read(plain), InvalidNumber)


@given(
    st.sampled_from(NUMBERS),
    st.sampled_from(
        [
            phonenumbers.PhoneNumberFormat.E164,
            phonenumbers.PhoneNumberFormat.INTERNATIONAL,
            phonenumbers.PhoneNumberFormat.RFC3966,
        ]
    ),
    st.sampled_from([" ", "-", ".", "\u00a0", "\u2011", "  ", "\u200b"]),
    st.sampled_from([0x30, 0x660, 0x966, 0xFF10]),
)
def test_each_international_format_of_the_library_reads_back(number, form, separator, zero):
    text = phonenumbers.format_number(number, form)
    text = re.sub(r"(?<=[0-9])[ -](?=[0-9])", separator, text)
    text = re.sub("[0-9]", lambda digit: chr(zero + int(digit[0])), text)
    assert e164(text) == phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@given(st.sampled_from(NUMBERS))
def test_a_national_number_reads_only_with_its_region(number):
    text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    region = phonenumbers.region_code_for_number(number)
    assert isinstance(read(text), InvalidNumber)
    assert e164(text, default_region=region) == phonenumbers.format_number(
        number, phonenumbers.PhoneNumberFormat.E164
    )


@given(st.text(max_size=30), st.sampled_from(NUMBERS), st.sampled_from([0, 1, 2, 3]), st.text(max_size=30))
def test_no_format_of_a_number_outlasts_the_mask(before, number, form, after):
    text = f"{before} {phonenumbers.format_number(number, form)} {after}"
    assert not re.search(r"\d{7}", mask_text(text))


@pytest.mark.parametrize(
    "text",
    [
        "1" * 100_000,
        "1 " * 50_000,
        " " * 100_000 + "1",
        "(" * 100_000,
        "1x" * 50_000,
        "\\x" * 50_000,
        "2026-05-" * 12_500,
        "1,;" * 33_000,
        "12345678-1234-" * 7_000,
    ],
    ids=lambda text: text[:8],
)
def test_long_texts_take_no_long_time(text):
    started = time.perf_counter()
    read(text)
    read(text[:250])
    mask(text)
    mask_text(text)
    assert time.perf_counter() - started < 2


@pytest.mark.skipif(not hasattr(phonenumbers, "enable_pattern_cache"), reason="an old release of the library")
def test_numbers_of_all_countries_mixed_are_read_as_fast_as_those_of_one():
    # More patterns than Python keeps compiled: without the library's own cache this takes several seconds.
    texts = [phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) for number in NUMBERS]
    for text in texts:
        read(text)
    started = time.perf_counter()
    for text in texts * 20:
        read(text)
    assert time.perf_counter() - started < 2


# --- the library is paid for by those who read ----------------------------------------------------


def test_importing_the_module_loads_neither_phonenumbers_nor_airflow():
    code = (
        "import sys, airflow_provider_kaleyra.phone;"
        "print([name for name in ('phonenumbers', 'airflow', 'sqlalchemy') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


# --- the demo's contacts --------------------------------------------------------------------------

# What regulators keep for fiction: +1 NXX-555-01XX, and their like in Europe and Australia.
RESERVED = re.compile(
    r"\+1[2-9][0-9]{2}55501[0-9]{2}"
    r"|\+44(207946|113496|114496|116496|117496|118496|121496|131496|141496|151496|161496|191498|292018)0[0-9]{3}"
    r"|\+61([2378](5550|7010)[0-9]{4}|49157[0-9]{4})"
    r"|\+33(19900|26191|35301|46571|53649)[0-9]{4}"
    r"|\+49((3023125|6990009|4066969|2214710|8999998)[0-9]{3}|17139200[0-9]{2}|176040690[0-9]{2})"
    r"|\+46(3139006|4062804|8465004|9803192|7017406)[0-9]{2}"
)


@pytest.fixture(scope="module")
def contacts():
    text = (files("airflow_provider_kaleyra.demo") / "contacts.csv").read_bytes().decode("utf-8")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_demo_has_a_thousand_contacts(contacts):
    assert [row["id"] for row in contacts] == [str(number) for number in range(1, 1001)]


def test_the_demos_numbers_are_nobodys(contacts):
    valid = {
        n.e164
        for row in contacts
        if isinstance(n := read(row["phone"], assume_country_code=True), PhoneNumber)
    }
    assert len(valid) > 800
    assert [number for number in valid if not RESERVED.fullmatch(number)] == []


def test_the_demo_is_messy_in_every_way(contacts):
    numbers = {row["phone"]: read(row["phone"]) for row in contacts}
    reasons = {number.reason for number in numbers.values() if isinstance(number, InvalidNumber)}
    assert set(REASONS) - reasons == {"not_text", "not_whole_number", "ambiguous_zero"}
    spellings = Counter(number for number in numbers.values() if isinstance(number, PhoneNumber))
    assert sum(count > 1 for count in spellings.values()) >= 25
    assert len(contacts) - len(numbers) >= 10


@pytest.mark.parametrize("raw", ["+14155550100E-1", "+14155550100e-3", "+1415555010.0E-1"])
def test_a_negative_exponent_is_never_dropped_from_a_number(raw: str) -> None:
    assert read(raw) == InvalidNumber("not_whole_number")


def test_any_count_of_zeros_behind_a_point_is_no_part_of_a_number() -> None:
    assert [read(f"+14155550100.{zeros}") for zeros in ("0", "00", "000", "0000")] == [
        PhoneNumber("+14155550100")
    ] * 4


def test_law_7_seven_digits_in_free_text_are_masked_and_six_are_not() -> None:
    assert mask_text("no +6834002 in batch 123456") == f"no {mask('+6834002')} in batch 123456"
