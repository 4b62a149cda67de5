"""What a run is told: the user's settings, and the service that it asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from airflow_provider_kaleyra.api.models import Answer
from airflow_provider_kaleyra.enrichment.plan import Reading


class Service(Protocol):
    """What is asked: it takes a batch of E.164 numbers and gives their outcomes."""

    def ask(self, numbers: Sequence[str]) -> Answer[Any]:
        """Ask about a batch, from any thread."""
        ...

    def stop(self) -> None:
        """Let no request leave any more."""
        ...

    @property
    def requests_sent(self) -> int:
        """How many requests left so far."""
        ...


@dataclass(frozen=True)
class Settings:
    """What the user said of this run; the operators document each."""

    reading: Reading = field(default_factory=Reading)
    shard: tuple[int, int] | None = None
    batch_size: int = 100
    least_batch: int = 1
    max_workers: int = 8
    max_lookups: int | None = None
    max_price: Decimal | None = None
    ending: bool = False
    """Whether nothing is asked any more: what was submitted is brought to its end."""
