"""What a run knows of earlier ones and remembers for later ones, as plain values, whoever keeps it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from airflow_provider_kaleyra.api.models import Lookup
from airflow_provider_kaleyra.enrichment.kinds import ANSWERED, Kind

_NOTHING = Decimal(0)


@dataclass(frozen=True)
class Run:
    """Who asks: one task of one DAG run, in all its tries; ``map_index`` tells its mapped tasks apart."""

    task: str
    map_index: int = -1

    @property
    def id(self) -> str:
        """The ``run_id`` in ledger and results."""
        return self.task if self.map_index < 0 else f"{self.task}/{self.map_index}"


@dataclass(frozen=True)
class Known:
    """What the ledger holds of a number, and what follows from it for this run."""

    outcome: Mapping[str, Any]
    reusable: bool
    this_try: bool
    held: bool
    pending: bool
    elsewhere: bool


class Claimed(NamedTuple):
    """A number that this run may now ask about, its ledger row as it was before, and when it was claimed."""

    phone_number: str
    before: Mapping[str, Any] | None
    asked_at: datetime
    started: float

    def now(self) -> datetime:
        """Tell the time by the clock that ``asked_at`` was told by."""
        return self.asked_at + timedelta(seconds=time.monotonic() - self.started)


class Settled(NamedTuple):
    """What became of a claimed number.

    ``outcome`` is in columns of a result table, ``price`` what it cost now, ``purchases`` and ``spent`` are
    what it has come to in all. ``answered`` is the ledger row as it was, if it held an answer and nothing
    that may have been paid for has come since: that answer stands.
    """

    outcome: Mapping[str, Any]
    price: Decimal
    purchases: int
    spent: Decimal
    answered: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, claimed: Claimed, lookup: Lookup, kind: Kind, run: Run, now: datetime) -> Settled:
        """Put together what was claimed and what was learnt ``now``, by the clock of :meth:`Claimed.now`."""
        outcome = kind.learnt(lookup)
        outcome["run_id"] = run.id
        outcome["asked_at"] = claimed.asked_at
        outcome["answered_at"] = now if lookup.status in ANSWERED else None
        price = getattr(lookup, "price", None) or _NOTHING
        before = claimed.before
        if before is None:
            return cls(outcome, price, lookup.purchases, price)
        stands = before["status"] in ANSWERED and not (lookup.status in ANSWERED or lookup.purchases)
        purchases, spent = before["purchases"] + lookup.purchases, before["spent"] + price
        return cls(outcome, price, purchases, spent, before if stands else None)


class Memory(Protocol):
    """What a run knows of earlier ones, and remembers for later ones."""

    def reading(self) -> AbstractContextManager[Any]:
        """Open what :meth:`known` reads from."""
        ...

    def writing(self) -> AbstractContextManager[Any]:
        """Open a transaction, committed at the end."""
        ...

    def known(self, connection: Any, numbers: Collection[str]) -> dict[str, Known]:
        """Look numbers up; those that were never asked are left out."""
        ...

    def claim(self, connection: Any, numbers: Collection[str]) -> list[Claimed]:
        """Mark numbers as asked for, those that nobody answered or claimed meanwhile."""
        ...

    def bought(self, connection: Any) -> tuple[int, int, Decimal]:
        """Count the numbers that earlier tries of this run have, or may have, bought; those of them that are
        answered; and what they cost."""
        ...

    def doubt(self, connection: Any, numbers: Collection[str]) -> None:
        """Mark numbers that are held: nobody will learn any more what was paid for."""
        ...

    def settle(self, connection: Any, settled: Sequence[Settled]) -> None:
        """Remember what became of claimed numbers."""
        ...

    def release(self, connection: Any, claims: Sequence[Claimed]) -> None:
        """Take back claims whose request never left."""
        ...
