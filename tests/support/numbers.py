"""Numbers that belong to nobody: 555-01XX is kept for fiction in every area of North America."""

from __future__ import annotations

from functools import cache
from itertools import islice

import phonenumbers

from airflow_provider_kaleyra.sandbox import subscriber


@cache
def areas() -> list[int]:
    """Give the area codes in use."""
    every = range(201, 990)
    return [area for area in every if phonenumbers.is_valid_number(phonenumbers.parse(f"+1{area}5550123"))]


def numbers(count: int, *, assigned: bool | None = True) -> list[str]:
    """Give valid E.164 numbers: those that the sandbox knows a subscriber for, does not, or either."""
    every = (f"+1{area}555{line:04d}" for area in areas() for line in range(100, 200))
    wanted = (number for number in every if assigned is None or subscriber(number).assigned is assigned)
    found = list(islice(wanted, count))
    assert len(found) == count
    return found


def spelled(number: str) -> str:
    """Give another spelling of a North American number."""
    return f"+1 ({number[2:5]}) {number[5:8]}-{number[8:]}"
