"""A run whose lookups are answered later, from its submission to its end: as plain values, over deferrals."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_kaleyra.enrichment.run import Enrichment
    from airflow_provider_kaleyra.enrichment.summary import Summary


@dataclass(frozen=True)
class Ending:
    """What is known of the run when its lookups are answered.

    :param began: when it began, by the database's clock, as ISO text.
    :param started: the same by this machine's clock, in seconds of the epoch.
    :param deadline: when to wait no more, in seconds of the epoch.
    :param price: what it has cost so far, ``spent`` what its numbers had cost in all by then.
    :param outcomes: of each number, where no ledger keeps them.
    """

    began: str
    started: float
    deadline: float
    asked: int
    requests: int
    price: str
    spent: str = "0"
    again: int = 0
    outcomes: Sequence[Mapping[str, Any]] = field(default=(), repr=False)

    @property
    def since(self) -> datetime:
        """When the run began, by the database's clock."""
        return datetime.fromisoformat(self.began)

    def after(self, requests: int, price: Decimal = Decimal(0)) -> Ending:
        """Add what waiting has come to."""
        return replace(self, requests=self.requests + requests, price=str(Decimal(self.price) + price))

    def recall(self, enrichment: Enrichment) -> None:
        """Tell a memory that is no ledger what became of the numbers."""
        from airflow_provider_kaleyra.enrichment.checkpoint import Checkpoints

        if isinstance(enrichment.memory, Checkpoints):
            enrichment.memory.recall(self.outcomes)

    def carry(self, summary: Summary) -> None:
        """Make a summary one of the whole run."""
        summary.asked += self.asked
        summary.requests += self.requests
        summary.price += Decimal(self.price)
        summary.started = (summary.ended or time.monotonic()) - (time.time() - self.started)
