"""Carrier, country, porting and roaming of phone numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_kaleyra.enrichment.kinds import NUMBER, Kind
from airflow_provider_kaleyra.operators.base import EnrichmentOperator

if TYPE_CHECKING:
    from airflow_provider_kaleyra.api.client import KaleyraClient
    from airflow_provider_kaleyra.api.models import Answer


class NumberLookupOperator(EnrichmentOperator):
    """Find out carrier, country, porting and roaming state of numbers.

    Rests on Kaleyra's page "GET API Lookup".

    :param max_price: stop before a request that would make this run cost more, by the price seen so far.
    """

    __doc__ = f"{__doc__}\n{EnrichmentOperator.__doc__}"

    kind: ClassVar[Kind] = NUMBER
    default_batch_size: ClassVar[int] = 100

    def __init__(self, *, max_price: Decimal | float | str | None = None, **kwargs: Any) -> None:
        self.max_price = None if max_price is None else Decimal(str(max_price))
        super().__init__(**kwargs)

    def _ask(self, client: KaleyraClient) -> Callable[[Sequence[str]], Answer[Any]]:
        return client.ask_numbers
