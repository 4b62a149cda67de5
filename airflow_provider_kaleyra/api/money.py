"""Prices as the amounts that were meant, shared without losing a digit."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

QUANTUM = Decimal("0.0000000001")


def parse_price(value: object) -> Decimal | None:
    """Read a price from JSON: ``0.80000000000000004`` is 0.8. Missing, negative or nonsense is ``None``."""
    if value is None or isinstance(value, bool):
        return None
    try:
        # A float's repr is the shortest text that means it, hence the amount the sender wrote down.
        price = Decimal(repr(value) if isinstance(value, float) else str(value).strip())
        return price.quantize(QUANTUM).normalize() if price.is_finite() and price >= 0 else None
    except InvalidOperation:
        return None


def share(price: Decimal, count: int) -> list[Decimal]:
    """Split a price into ``count`` shares that differ by one quantum at most and add up to it exactly."""
    units = int(price.scaleb(-QUANTUM.as_tuple().exponent))  # type: ignore[operator]
    each, rest = divmod(units, count)
    return [(each + (index < rest)) * QUANTUM for index in range(count)]
