"""Made-up subscribers: everything about one follows from the hash of its number, so that every run agrees."""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from functools import cache

E164 = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True, slots=True)
class Operator:
    """A mobile network: the brand (RCS `carrierId`), its name in the number lookup, and its codes."""

    brand: str
    name: str
    mcc: str
    mnc: str


@dataclass(frozen=True, slots=True)
class Country:
    """A calling code, whose it is, and its operators, each as often as its share of the market says."""

    code: str
    iso: str
    operators: tuple[Operator, ...]


@dataclass(frozen=True, slots=True)
class Subscriber:
    """The truth about one number. `rcs_enabled` is None where the carrier does not say."""

    number: str
    assigned: bool
    country: str
    country_code: int
    current: Operator
    original: Operator
    roaming: Operator | None
    rcs_enabled: bool | None
    carrier_status: str

    @property
    def is_ported(self) -> bool:
        """Whether the number has left the operator that it was given out by."""
        return self.current != self.original


# calling code, ISO country, MCC, then "brand mnc weight"; an Indian brand has a code in each circle.
_TABLE = """
91  IN 405 Jio:Delhi 872 3|Jio:Maharashtra 866 3|Jio:Karnataka 861 2
91  IN 404 Airtel:Delhi 10 2|Airtel:Chennai 40 1|Airtel:Rajasthan 70 2|Vi:Mumbai 20 2|BSNL:Kerala 72 1
1   US 310 T-Mobile 260 3|AT&T 410 3|Verizon 012 3
1   US 311 US_Cellular 580 1
44  GB 234 EE 30 3|O2 10 3|Vodafone 15 2|Three 20 1
33  FR 208 Orange 01 4|SFR 10 3|Bouygues 20 2|Free 15 2
49  DE 262 Telekom 01 3|Vodafone 02 3|O2 03 4
39  IT 222 TIM 01 3|Vodafone 10 2|WindTre 88 3|Iliad 50 1
34  ES 214 Movistar 07 3|Vodafone 01 2|Orange 03 3|Yoigo 04 1
61  AU 505 Telstra 01 4|Optus 02 3|Vodafone 03 2
55  BR 724 Vivo 06 4|Claro 05 3|TIM 02 3
971 AE 424 Etisalat 02 3|du 03 2
65  SG 525 Singtel 01 4|M1 03 2|StarHub 05 2
46  SE 240 Telia 01 4|Tele2 07 3|Telenor 08 2
27  ZA 655 Vodacom 01 4|MTN 10 3|Cell_C 07 1|Telkom 02 2
"""

# Calling codes 1 and 7 have one digit, those that begin like this have three, the rest two (ITU-T E.164).
_THREE_DIGITS = re.compile(r"2[1-69]|3[578]|42|5[09]|6[7-9]|8[05789]|9[679]")


def _read_table() -> dict[str, Country]:
    countries: dict[str, Country] = {}
    for line in _TABLE.strip().splitlines():
        code, iso, mcc, offers = line.split(maxsplit=3)
        operators: list[Operator] = []
        for offer in offers.split("|"):
            label, mnc, weight = offer.replace(":", " // ").rsplit(maxsplit=2)
            name = label.replace("_", " ")
            brand = name.partition(" // ")[0]
            operators += [Operator(brand, name, mcc, mnc)] * int(weight)
        known = countries[code].operators if code in countries else ()
        countries[code] = Country(code, iso, known + tuple(operators))
    return countries


COUNTRIES = _read_table()
_ELSEWHERE = tuple(Operator(f"Mobile {n}", f"Mobile {n}", "901", f"{n:02d}") for n in range(1, 4))


def calling_code(e164: str) -> str:
    """The calling code of an E.164 number, whether or not somebody has it."""
    if e164[1] in "17":
        return e164[1]
    return e164[1:4] if _THREE_DIGITS.match(e164, 1) else e164[1:3]


def country_of(e164: str) -> Country:
    """The country of an E.164 number; `ZZ`, unknown, for those without a row in the table."""
    return _country_of(e164[:4])


@cache
def _country_of(beginning: str) -> Country:
    code = calling_code(beginning)
    return COUNTRIES.get(code) or Country(code, "ZZ", _ELSEWHERE)


def _draws(e164: str) -> list[int]:
    """Independent numbers in 0..9999, the same on every machine and in every process."""
    digest = hashlib.blake2b(e164.encode("ascii"), digest_size=32).digest()
    return [drawn % 10_000 for drawn in struct.unpack(">8I", digest)]


def subscriber(e164: str) -> Subscriber:
    """Who has this number.

    2% are unassigned. Of the others 60% can be reached by RCS and 1% are unknown, 15% are ported and 5% roam.
    """
    if not E164.fullmatch(e164):
        raise ValueError("not an E.164 number")
    is_assigned, operator, ported, other, roams, abroad, rcs, status = _draws(e164)
    country = country_of(e164)
    operators = country.operators
    current = operators[operator % len(operators)]
    original = current
    if ported < 1_500:
        others = [o for o in operators if o.brand != current.brand]
        original = others[other % len(others)]
    roaming = None
    if roams < 500:
        hosts = [c for c in COUNTRIES.values() if c.iso != country.iso]
        host = hosts[abroad % len(hosts)].operators
        roaming = host[abroad % len(host)]
    rcs_enabled = None if rcs < 100 else rcs < 6_100
    inactive = rcs_enabled is False and status < 1_500
    return Subscriber(
        number=e164,
        assigned=is_assigned >= 200,
        country=country.iso,
        country_code=int(country.code),
        current=current,
        original=original,
        roaming=roaming,
        rcs_enabled=rcs_enabled,
        carrier_status="INACTIVE" if inactive else "ACTIVE",
    )
