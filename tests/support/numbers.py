"""Numbers that belong to nobody: 555-01XX is kept for fiction in every area of North America."""

from __future__ import annotations

from itertools import islice

from airflow_provider_kaleyra.sandbox import subscriber

AREAS = (*range(201, 204), *range(205, 211), *range(212, 220), 224, 225, 228, 229, 231, 234, 239, 240)


def numbers(count: int, *, assigned: bool | None = True) -> list[str]:
    """Give valid E.164 numbers: those that the sandbox knows a subscriber for, does not, or either."""
    every = (f"+1{area}555{line:04d}" for area in AREAS for line in range(100, 200))
    wanted = (number for number in every if assigned is None or subscriber(number).assigned is assigned)
    found = list(islice(wanted, count))
    assert len(found) == count
    return found


def spelled(number: str) -> str:
    """Give another spelling of a North American number."""
    return f"+1 ({number[2:5]}) {number[5:8]}-{number[8:]}"
