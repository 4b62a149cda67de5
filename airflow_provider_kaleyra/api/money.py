"""Prices as the amounts that were meant, shared without losing a digit."""

from __future__ import annotations

import logging
from decimal import Decimal, InvalidOperation

from airflow_provider_kaleyra.phone import mask_text

log = logging.getLogger(__name__)

QUANTUM = Decimal("0.0000000001")
MOST = Decimal(10**10)
"""An amount as large as this fits in no ledger."""


def parse_price(value: object) -> Decimal | None:
    """Read a price from JSON: ``0.80000000000000004`` is 0.8.

    Missing is ``None``, and so, with a warning, is what is negative, too large to be filed, or nonsense.
    """
    if value is None:
        return None
    price = None if isinstance(value, bool) else _amount(value)
    if price is None:
        log.warning(
            "An answer names a price that is no amount; it is not counted: %s", mask_text(str(value)[:40])
        )
    return price


def _amount(value: object) -> Decimal | None:
    try:
        # A float's repr is the shortest text that means it, hence the amount the sender wrote down.
        price = Decimal(repr(value) if isinstance(value, float) else str(value).strip())
        price = price.quantize(QUANTUM).normalize()
    except InvalidOperation:
        return None
    return price if price.is_finite() and 0 <= price < MOST else None


def share(price: Decimal, count: int) -> list[Decimal]:
    """Split a price into ``count`` shares that differ by one quantum at most and add up to it exactly."""
    units = int(price.scaleb(-QUANTUM.as_tuple().exponent))  # type: ignore[operator]
    each, rest = divmod(units, count)
    return [(each + (index < rest)) * QUANTUM for index in range(count)]
