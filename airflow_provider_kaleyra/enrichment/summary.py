"""What a run came to, in numbers; it names no phone number."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

BUCKETS = ("invalid", "reused", "ok", "failed", "in_doubt", "not_asked")


@dataclass
class Summary:
    """Counts of raw inputs in ``inputs`` and by bucket, of E.164 numbers in ``distinct`` and ``asked``.

    Every input is in one bucket: ``inputs`` is the sum of ``invalid``, ``reused``, ``ok``, ``failed``,
    ``in_doubt`` and ``not_asked``.
    """

    result_table: str | None = None
    inputs: int = 0
    distinct: int = 0
    asked: int = 0
    requests: int = 0
    price: Decimal = Decimal(0)
    unanswered: int = 0
    """Asked numbers that have no answer, in doubt or not."""
    buckets: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)

    ended: float | None = None

    @property
    def seconds(self) -> float:
        """How long the run took, or has taken so far."""
        return round((self.ended or time.monotonic()) - self.started, 3)

    def end(self) -> None:
        """Stop the clock."""
        self.ended = time.monotonic()

    def as_dict(self) -> dict[str, Any]:
        """Give the summary as JSON values; ``price`` is decimal text."""
        return {
            "inputs": self.inputs,
            "distinct": self.distinct,
            "invalid": self.buckets["invalid"],
            "reused": self.buckets["reused"],
            "asked": self.asked,
            "ok": self.buckets["ok"],
            "failed": self.buckets["failed"],
            "in_doubt": self.buckets["in_doubt"],
            "not_asked": self.buckets["not_asked"],
            "requests": self.requests,
            "price": format(self.price, "f"),
            "seconds": self.seconds,
            "result_table": self.result_table,
        }

    def too_many_failed(self, max_failed: float) -> str | None:
        """Say what to do if a greater share than ``max_failed`` of the asked numbers has no answer."""
        if not self.asked or self.unanswered / self.asked <= max_failed:
            return None
        return (
            f"{self.unanswered:,} of {self.asked:,} asked numbers have no answer, more than max_failed="
            f"{max_failed:g} allows. Everything that came is filed; the column reason says why the others "
            "failed, and the next try asks about them again"
        )

    def __str__(self) -> str:
        counts = ", ".join(f"{self.buckets[name]:,} {name.replace('_', ' ')}" for name in BUCKETS)
        price = f" for {self.price.normalize():f}" if self.price else ""
        return (
            f"{self.inputs:,} inputs, {self.distinct:,} distinct numbers: {counts}. "
            f"Asked about {self.asked:,} numbers in {self.requests:,} requests{price}, {self.seconds:.1f} s"
        )
