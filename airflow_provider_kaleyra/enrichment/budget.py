"""What a run may still ask and spend, by what the user allows and what it has come to so far."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from airflow_provider_kaleyra.api.models import Answer

MOST_UNPRICED = 3
"""Batches that may have cost something, without a price to be seen, after which a limit cannot be kept."""


@dataclass
class Budget:
    """Counts what a run asks and pays in all its tries.

    :param max_lookups: how many numbers it may buy, ``None`` for any.
    :param max_price: what it may pay for them, ``None`` for any.
    """

    max_lookups: int | None = None
    max_price: Decimal | None = None
    bought: int = 0
    """Numbers that earlier tries have, or may have, bought, and what they cost."""
    price: Decimal = Decimal(0)
    _left: int = 0
    _asking: int = 0
    _priced: int = 0
    _unpriced: int = 0
    _batches_unpriced: int = 0
    _spent_up: bool = False

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return self.max_lookups is not None or self.max_price is not None

    @property
    def cautious(self) -> bool:
        """Whether one batch is asked after another: nobody knows yet what a lookup costs."""
        return self.max_price is not None and not self._priced

    def remember(self, bought: int, answered: int, price: Decimal) -> None:
        """Take note of what earlier tries have come to: the price is that of the answered ones."""
        self.bought, self.price = bought, price
        self._priced = answered if price else 0
        self._unpriced = bought - self._priced

    def allows(self, numbers: int) -> int:
        """Tell how many of these numbers may be asked about."""
        allowed = numbers
        if self.max_lookups is not None:
            allowed = max(0, min(allowed, self.max_lookups - self.bought - self._left))
        if self.max_price is not None:
            self._spent_up = self._spent_up or self._passes(self.max_price, allowed)
        return 0 if self._spent_up else allowed

    def leave(self, numbers: int) -> None:
        """Take note of numbers that are asked about."""
        self._left += numbers
        self._asking += numbers

    def land(self, numbers: int, answer: Answer[Any] | None) -> None:
        """Take note of what became of a batch, ``None`` if nothing did."""
        lookups = answer.lookups if answer else ()
        self._asking -= numbers
        # What has no outcome has never left.
        self._left -= numbers - len(lookups)
        if self.max_price is None:
            return
        self.price += (answer and answer.price) or 0
        bought = [lookup for lookup in lookups if lookup.purchases]
        priced = sum(getattr(lookup, "price", None) is not None for lookup in bought)
        self._priced += priced
        self._unpriced += len(bought) - priced
        self._batches_unpriced += bool(bought) and not priced

    def _passes(self, limit: Decimal, numbers: int) -> bool:
        if not limit:
            return True
        if not self._priced:
            return self._batches_unpriced >= MOST_UNPRICED
        # What may have been billed without a price to be seen is counted at the price of the others.
        each = self.price / self._priced
        return self.price + each * (self._unpriced + self._asking + numbers) > limit
