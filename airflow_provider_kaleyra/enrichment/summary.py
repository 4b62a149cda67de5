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
    ``in_doubt``, ``not_asked`` and, where lookups are submitted, ``pending``.
    """

    result_table: str | None = None
    submits: bool = False
    """Whether the run submits lookups; only then ``pending`` is a bucket of its own, else not asked."""
    inputs: int = 0
    distinct: int = 0
    asked: int = 0
    requests: int = 0
    price: Decimal = Decimal(0)
    awaited: int = 0
    """Numbers of a run that was only brought to its end."""
    unanswered: int = 0
    """Asked numbers that have no answer, in doubt or not."""
    still_in_doubt: int = 0
    """Numbers that earlier tries of this run left in doubt, and that it holds."""
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

    def bucket(self, name: str) -> int:
        """Give the count of inputs in a bucket."""
        waits = self.buckets["pending"] if name == "not_asked" and not self.submits else 0
        return self.buckets[name] + waits

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
            "not_asked": self.bucket("not_asked"),
            **({"pending": self.bucket("pending")} if self.submits else {}),
            "requests": self.requests,
            "price": format(self.price, "f"),
            "seconds": self.seconds,
            "result_table": self.result_table,
        }

    def too_many_failed(self, max_failed: float) -> str | None:
        """Say what to do if a greater share than ``max_failed`` of the asked numbers has no answer."""
        asked = max(self.asked, self.awaited) + self.still_in_doubt
        unanswered = self.unanswered + self.still_in_doubt
        if not asked or unanswered / asked <= max_failed:
            return None
        return (
            f"{unanswered:,} of {asked:,} asked numbers have no answer, more than max_failed="
            f"{max_failed:g} allows. Everything that came is filed; the column reason says why the others "
            "failed, and the next try asks about them again"
        )

    def __str__(self) -> str:
        names = (*BUCKETS, "pending") if self.submits else BUCKETS
        counts = ", ".join(f"{self.bucket(name):,} {name.replace('_', ' ')}" for name in names)
        price = f" for {self.price.normalize():f}" if self.price else ""
        return (
            f"{self.inputs:,} inputs, {self.distinct:,} distinct numbers: {counts}. "
            f"Asked about {self.asked:,} numbers in {self.requests:,} requests{price}, {self.seconds:.1f} s"
        )
