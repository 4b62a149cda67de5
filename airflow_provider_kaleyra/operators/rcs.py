"""RCS capability of phone numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_kaleyra.enrichment.kinds import RCS, Kind
from airflow_provider_kaleyra.operators.base import EnrichmentOperator

if TYPE_CHECKING:
    from airflow_provider_kaleyra.api.client import KaleyraClient
    from airflow_provider_kaleyra.api.models import Answer


class RcsCapabilityOperator(EnrichmentOperator):
    """Find out which numbers can receive RCS messages now: yes, no or unknown, with the carrier.

    100 to 500 numbers go into one request, fewer are asked singly. Rests on Kaleyra's pages
    "Single Device Lookup" and "Bulk Device Lookup".
    """

    __doc__ = f"{__doc__}\n{EnrichmentOperator.__doc__}"

    kind: ClassVar[Kind] = RCS
    default_batch_size: ClassVar[int] = 500
    least_batch: ClassVar[int] = 100

    def _ask(self, client: KaleyraClient) -> Callable[[Sequence[str]], Answer[Any]]:
        return client.ask_devices
