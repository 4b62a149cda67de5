"""Phone numbers: raw text in, an E.164 number or the reason why there is none out; masking for logs.

Two rules shape this module. A country is never guessed: digits without ``+`` or ``00`` are refused
unless the user said how to read them. And digits are never made up: what a spreadsheet has rounded or
calculated is refused. The numbering plans are those of the ``phonenumbers`` library.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from types import MappingProxyType
from typing import Final

REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "empty": "There is nothing in it, or only a placeholder such as N/A, null, none, unknown or a dash.",
        "not_text": "It is neither text nor a number (true/false, NaN, infinity, bytes, a list, an object).",
        "not_whole_number": "It has a minus sign or a fraction: the result of a calculation.",
        "lost_digits": "A spreadsheet has rounded it (9.19812E+11); the missing digits are gone.",
        "letters": "It has letters or other characters that are no part of a phone number.",
        "extension": "It has an extension (x12, ext. 12, #12, ;ext=12): behind it is no subscriber.",
        "two_numbers": "More than one number is in it.",
        "misplaced_plus": "It has a plus sign elsewhere than once at its start.",
        "no_country_code": "It has no country code, and no setting says how to read it.",
        "unknown_country_code": "No country has the country code that it starts with.",
        "ambiguous_zero": "With and without its bracketed (0) it is a valid number, and not the same one.",
        "short_code": "It is a short code or a service number, not a subscriber's number.",
        "too_short": "It has too few digits for its country.",
        "too_long": "It has too many digits for its country, or for any phone number.",
        "impossible": "No number of its country has this many digits.",
        "not_valid": "Its length is possible, but its country has assigned no such range.",
    }
)
"""Every code that `InvalidNumber.reason` can hold, each with one sentence that explains it."""

_PLACEHOLDERS = frozenset({"n/a", "#n/a", "na", "nan", "nil", "none", "null", "unknown"})
_LONGEST_TEXT = 250
# A spreadsheet shows six significant digits of a long number; 9.19812E+11 comes back as 919812000000.0.
_ROUNDED_TO = 6

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_LONGEST_E164 = 16
_NUMERAL = re.compile(r"([-+]?)([0-9]+)(?:[.,]([0-9]*))?(?:[eE]([-+]?[0-9]+))?")
_EXTENSION = re.compile(
    r"[0-9)][\s.,;]*(?:ext(?:n|ension)?|x{1,2}|#|,,)[\s.:=]*[0-9]{1,9}#?\Z", re.IGNORECASE
)
_NOT_IN_ONE_NUMBER = re.compile(r"[^0-9() .\[\]-]+")
_SLIP = re.compile(r"(?<=[0-9])[^\W\d_](?=[0-9])")  # one letter in the place of a digit, as in 9O0123
_FOREIGN = re.compile(r"[^0-9+() .\[\]-]")
_SEPARATORS = re.compile(r"[^0-9+]+")
_AREA_CODE = re.compile(r"\+[0-9]{2,7}|0[0-9]{1,6}")
_TRUNK_ZERO = re.compile(r"[(\[] *0 *[)\]]")


@dataclass(frozen=True, slots=True, repr=False)
class PhoneNumber:
    """A number in E.164: a plus and 7–15 digits. Its text form is masked: ask for `e164` to get it whole."""

    e164: str

    def __repr__(self) -> str:
        return f"PhoneNumber({mask(self.e164)})"


@dataclass(frozen=True, slots=True)
class InvalidNumber:
    """What could not be read as one phone number, and why: `reason` is a key of `REASONS`."""

    reason: str


class _RefusedError(Exception):
    """A step found a reason to stop."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read(
    raw: object, *, default_region: str | None = None, assume_country_code: bool = False
) -> PhoneNumber | InvalidNumber:
    """Read one cell as a phone number.

    In: text, an int, a float or a Decimal, as found in the source. Out: a valid number, or the reason why
    there is none. Nothing that comes in makes it raise.

    With ``+`` a number is international, and with ``00`` too. Other digits are refused as
    ``no_country_code`` unless a setting says how to read them: `default_region`, an ISO country, reads them
    as dialled there (then that country's own prefix for calls abroad counts instead of ``00``);
    `assume_country_code` reads them as if a ``+`` stood in front. With both, the first is tried first.
    """
    _cache_patterns()
    # Most cells of most tables are clean.
    if type(raw) is str and _is_valid_e164(raw):
        return PhoneNumber(raw)
    try:
        text = _clean(_as_text(raw))
        text = _without_tel(text)
        text = _whole(text, is_text=isinstance(raw, str))
        _refuse_extension(text)
        text = _refuse_two_numbers(text)
        if _FOREIGN.search(text):
            raise _RefusedError("letters")
        return PhoneNumber(_resolve(text, default_region and default_region.upper(), assume_country_code))
    except _RefusedError as refused:
        return InvalidNumber(refused.reason)


def check_region(region: str | None) -> None:
    """Raise `ValueError` unless `region` is None or the two letters of a country with a numbering plan."""
    import phonenumbers

    if region is not None and str(region).upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"default_region={region!r} is no ISO 3166 country code, such as IN or GB")


def _as_text(raw: object) -> str:
    """A value of one of the accepted types as text, without rounding and without writing out exponents."""
    if isinstance(raw, str):
        text = raw.strip()
    elif raw is None:
        raise _RefusedError("empty")
    elif isinstance(raw, bool):
        raise _RefusedError("not_text")
    elif isinstance(raw, int):
        # Python refuses to write out an int of thousands of digits.
        text = int.__repr__(raw) if raw.bit_length() < _LONGEST_TEXT else "9" * (_LONGEST_TEXT + 1)
    elif isinstance(raw, float):
        text = float.__repr__(raw)
    elif isinstance(raw, Decimal):
        text = str(raw)
    else:
        raise _RefusedError("not_text")
    if not isinstance(raw, str) and not text[-1].isdigit():
        raise _RefusedError("not_text")  # NaN and the infinities
    if len(text) > _LONGEST_TEXT:
        raise _RefusedError("too_long")
    return text


class _Folding(dict[int, str | None]):
    """A table for `str.translate` that learns each character when it first meets it."""

    def __missing__(self, codepoint: int) -> str | None:
        char = chr(codepoint)
        category = unicodedata.category(char)
        folded: str | None = char
        if category == "Nd":
            folded = str(unicodedata.decimal(char))
        elif category == "Cf":  # zero-width characters, bidirectional marks, soft hyphens
            folded = None
        elif char in "\n\r\x85\u2028\u2029":
            folded = "\n"
        elif char.isspace():
            folded = " "
        elif category == "Pd" or char in "\u2212\u2043\u30fc":  # minus, hyphen bullet, long-vowel mark
            folded = "-"
        elif (plain := unicodedata.normalize("NFKC", char)) in set("+()[].,/;|&#:"):
            folded = plain
        self[codepoint] = folded
        return folded


_FOLDING = _Folding()


def _clean(text: str) -> str:
    """ASCII digits and punctuation, plain spaces, nothing invisible, no quotes or separators around it."""
    text = text.translate(_FOLDING).strip(" \n'\"=,;")
    if text.lower() in _PLACEHOLDERS or not any(map(str.isalnum, text)):
        raise _RefusedError("empty")
    return text


def _without_tel(text: str) -> str:
    """The number of a ``tel:`` URI (RFC 3966), behind the country code of its ``phone-context``."""
    if text[:4].lower() != "tel:":
        return text
    number, *rest = text[4:].split(";")
    parameters = {name.strip().lower(): value.strip() for name, _, value in (p.partition("=") for p in rest)}
    if parameters.keys() & {"ext", "isub"}:
        raise _RefusedError("extension")
    if not all("=" in parameter for parameter in rest):
        return text[4:]
    context = parameters.get("phone-context", "")
    return context + number.strip() if context.startswith("+") else number.strip()


def _whole(text: str, *, is_text: bool) -> str:
    """The digits of what was a number on its way here: ``919812345678.0``, ``9.19812345678E+11``."""
    match = _NUMERAL.fullmatch(text)
    if not match:
        return text
    sign, whole, fraction, exponent = match.groups("")
    if sign == "-":
        raise _RefusedError("not_whole_number")
    if exponent:
        shift = int(exponent)
        if shift > len(fraction):
            raise _RefusedError("lost_digits")
        if shift < 0:
            raise _RefusedError("not_whole_number")
        whole, fraction = whole + fraction[:shift], fraction[shift:]
    elif not fraction or (is_text and len(fraction) > 2 and fraction.strip("0")):
        return text  # digits alone, or a dot between two groups of them
    if fraction.strip("0"):
        raise _RefusedError("not_whole_number")
    if len(whole) > _ROUNDED_TO >= len(whole.rstrip("0")):
        raise _RefusedError("lost_digits")
    return sign + whole


def _refuse_extension(text: str) -> None:
    if _EXTENSION.search(text):
        raise _RefusedError("extension")


def _refuse_two_numbers(text: str) -> str:
    """The text itself, with the one slash that may stand behind an area code turned into a space."""
    head, slash, tail = text.partition("/")
    if slash and "/" not in tail and _AREA_CODE.fullmatch(_SEPARATORS.sub("", _TRUNK_ZERO.sub("", head))):
        text = f"{head} {tail}"
    if _has_two(text, _LONGEST_TEXT) and _has_two(_SLIP.sub("0", text), _LONGEST_E164 - 1):
        raise _RefusedError("two_numbers")
    return text


def _has_two(text: str, most: int) -> bool:
    """Whether the digits of a text are more than one number, if one has so many digits at most."""
    sizes = sorted(sum(map(str.isdigit, piece)) for piece in _NOT_IN_ONE_NUMBER.split(text))
    return sizes[-1] > most or (len(sizes) > 1 and sizes[-1] >= 7 and sizes[-2] >= (1 if "/" in text else 4))


def _resolve(text: str, region: str | None, assume_country_code: bool) -> str:
    """The E.164 of digits, separators and at most one plus, by the two settings of `read`."""
    number = _SEPARATORS.sub("", text)
    if not number.strip("+"):
        raise _RefusedError("empty")
    if "+" in number[1:]:
        raise _RefusedError("misplaced_plus")
    length = len(number.lstrip("+0"))
    if length > (19 if region else 15):  # a country's prefix for calls abroad takes up to four
        raise _RefusedError("two_numbers" if length >= 20 else "too_long")
    if number[0] == "+":
        return _international(text)
    if region:
        try:
            return _validated(number, region)
        except _RefusedError:
            if not assume_country_code:
                raise
    if len(number) <= 6:
        raise _RefusedError("short_code")
    if number.startswith("00"):
        return _international(text.replace("0", "", 1).replace("0", "+", 1))
    if number[0] == "0" or not assume_country_code:
        raise _RefusedError("no_country_code")
    return _international("+" + text)


def _international(text: str) -> str:
    """The E.164 of a text with a plus. Of its bracketed (0), Italy dials the zero and Britain does not."""
    readings = [_SEPARATORS.sub("", spelling) for spelling in (text, _TRUNK_ZERO.sub("", text, count=1))]
    if readings[0] == readings[1]:
        return _validated(readings[0], None)
    found = set()
    for reading in readings:
        try:
            found.add(_validated(reading, None))
        except _RefusedError as refused:
            reason = refused.reason
    if len(found) > 1:
        raise _RefusedError("ambiguous_zero")
    if not found:
        raise _RefusedError(reason)
    return found.pop()


def _validated(number: str, region: str | None) -> str:
    """The E.164 of bare digits, as dialled in `region`, or behind a plus."""
    import phonenumbers
    from phonenumbers import NumberParseException, ValidationResult

    # A valid number stands as it is written: parsing would look for a trunk prefix in it.
    if _is_valid_e164(number):
        return number
    try:
        parsed = phonenumbers.parse(number, region)
    except NumberParseException as problem:
        unknown = problem.error_type == NumberParseException.INVALID_COUNTRY_CODE
        raise _RefusedError("unknown_country_code" if unknown else "too_short") from None
    e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    if _is_valid_e164(e164):
        return e164
    if len(phonenumbers.national_significant_number(parsed)) <= (6 if region else 5):
        raise _RefusedError("short_code")
    reasons = {
        ValidationResult.TOO_SHORT: "too_short",
        ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "too_short",
        ValidationResult.TOO_LONG: "too_long",
        ValidationResult.INVALID_LENGTH: "impossible",
    }
    if len(e164) > 16:
        raise _RefusedError("too_long")
    raise _RefusedError(reasons.get(phonenumbers.is_possible_number_with_reason(parsed), "not_valid"))


@cache
def _cache_patterns() -> None:
    """Keep the patterns of all countries compiled: Python's own cache is too small for a mix of them."""
    import phonenumbers

    # Older releases of the library have no such switch.
    getattr(phonenumbers, "enable_pattern_cache", lambda: None)()


@cache
def _codes() -> Mapping[str, int]:
    """All country codes, by how a number that has them begins; none begins like another."""
    import phonenumbers

    return {f"+{code}": code for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE}


@cache
def _usual(code: int) -> re.Pattern[str] | None:
    """What mobiles and landlines of a country code's main region look like, in one pattern.

    The library tries one kind after the other, these last, and the length of each first.
    """
    import phonenumbers

    region = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code][0]
    metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    if metadata is None or metadata.leading_digits is not None:
        return None
    patterns = []
    for kind in (metadata.general_desc, metadata.mobile, metadata.fixed_line):
        if kind is None or not kind.national_number_pattern:
            return None
        lengths = "|".join(f"[0-9]{{{length}}}" for length in kind.possible_length) or "[0-9]*"
        patterns.append(rf"(?=(?:{lengths})\Z)(?:{kind.national_number_pattern})\Z")
    every, mobile, landline = patterns
    return re.compile(rf"\+{code}(?={every})(?:{mobile}|{landline})", re.ASCII)


def _is_valid_e164(text: str) -> bool:
    """Whether a text is a valid number in E.164; several times as fast as parsing it."""
    codes = _codes()
    code = codes.get(text[:3]) or codes.get(text[:2]) or codes.get(text[:4])
    if code is None or len(text) > _LONGEST_E164:
        return False
    usual = _usual(code)
    if usual is not None and usual.match(text):
        return True
    if not _E164.fullmatch(text):
        return False
    import phonenumbers

    national = text[len(str(code)) + 1 :]
    number = phonenumbers.PhoneNumber(country_code=code, national_number=int(national))
    if national[0] == "0":
        number.italian_leading_zero = True
        number.number_of_leading_zeros = len(national) - len(national.lstrip("0"))
    return phonenumbers.is_valid_number(number)


def mask(number: str) -> str:
    """A number for logs: ``+91********78``. Six digits at least stay hidden, of a short number all."""
    digits = [str(unicodedata.decimal(char)) for char in number if char.isdecimal()]
    tail = 2 if len(digits) >= 8 else 0
    head = 2 if len(digits) >= 10 and number.startswith(("+", "＋")) else 0
    hidden = "*" * max(len(digits) - head - tail, 3)
    return ("+" if head else "") + "".join(digits[:head]) + hidden + "".join(digits[len(digits) - tail :])


# Between two digits: any signs but those that set values apart, also as repr() and JSON escape them.
_BETWEEN = r"(?:[^\w,;:|\"'=<>{}\\]|[_ー]|,(?=\d)|\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[nrt]){0,8}"
_IN_TEXT = re.compile(
    r"(?P<keep>(?<![\d+(.\-/])(?:"
    r"(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"(?:[T ][0-2][0-9]:[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]{1,9})?)?(?: ?[+-][0-9]{2}:?[0-9]{2})?)?(?!\d)"
    r"|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9a-fA-F])"
    rf"))|(?:[+＋]\(?)?\d(?:{_BETWEEN}\d){{6,}}"
)


def mask_text(text: str) -> str:
    """Free text, such as a database driver's error, with every run of seven or more digits masked.

    Digits of all scripts count, with blanks, dashes, brackets and the like between them. ISO dates and times
    and UUIDs stay; an IP address or a long decimal may be masked too.
    """
    return _IN_TEXT.sub(lambda match: match["keep"] or mask(match[0]), text)
