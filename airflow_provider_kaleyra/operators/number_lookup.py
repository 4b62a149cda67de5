"""Carrier, country, porting and roaming of phone numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_kaleyra.enrichment.kinds import NUMBER, Kind
from airflow_provider_kaleyra.errors import ConfigurationError
from airflow_provider_kaleyra.operators.base import EnrichmentOperator
from airflow_provider_kaleyra.operators.runs import failing_for_good
from airflow_provider_kaleyra.operators.waiting import WaitingOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kaleyra.api.client import KaleyraClient
    from airflow_provider_kaleyra.api.models import Answer

DEFERRABLE = conf.getboolean("operators", "default_deferrable", fallback=False)


class NumberLookupOperator(WaitingOperator):
    """Find out carrier, country, porting and roaming state of numbers.

    Rests on Kaleyra's pages "GET API Lookup" and, for ``mode="submit"``, "POST API Lookup".

    :param max_price: stop before a request that would make this run cost more, by the price seen so far.
    :param mode: ``"realtime"``, or ``"submit"``: the lookups are bought now and answered later. Their ids are
        filed as ``pending``, or returned as a list of ``{"raw_number", "lookup_id"}``.
    :param wait_for_completion: wait for the answers of submitted lookups, and file them.
    :param deferrable: wait in the triggerer, without a worker; by default as Airflow's configuration says.
    :param poll_interval: seconds after the first round of questions; later ones wait up to ten times longer.
    :param wait_timeout: seconds after which the task fails if answers are missing; what came is filed.
    """

    __doc__ = f"{__doc__}\n{EnrichmentOperator.__doc__}"

    kind: ClassVar[Kind] = NUMBER
    default_batch_size: ClassVar[int] = 100

    def __init__(
        self,
        *,
        max_price: Decimal | float | str | None = None,
        mode: str = "realtime",
        wait_for_completion: bool = False,
        deferrable: bool = DEFERRABLE,
        poll_interval: float = 30,
        wait_timeout: float = 86_400,
        **kwargs: Any,
    ) -> None:
        try:
            self.max_price = None if max_price is None else Decimal(str(max_price))
        except InvalidOperation:
            raise ConfigurationError(f"max_price must be an amount of 0 or more, not {max_price!r}") from None
        self.mode = mode
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.wait_timeout = wait_timeout
        if deferrable and not (wait_for_completion or DEFERRABLE):
            raise ConfigurationError("deferrable goes with wait_for_completion: there is nothing to wait for")
        super().__init__(**kwargs)

    def _ask(self, client: KaleyraClient) -> Callable[[Sequence[str]], Answer[Any]]:
        return client.ask_submission if self.mode == "submit" else client.ask_numbers

    def execute(self, context: Context) -> Any:
        """Look the numbers up; give the summary, or without a result table the outcomes or the ids."""
        if self.mode == "realtime":
            return super().execute(context)
        started = time.time()
        with failing_for_good():
            enrichment = self._enrich(context)
            if self.wait_for_completion and enrichment.summary.buckets["pending"]:
                return self._wait(context, enrichment, self._ending(context, enrichment, started))
            concluded = self._conclude(enrichment)
        if isinstance(concluded, list) and not self.wait_for_completion:
            return [{name: row[name] for name in ("raw_number", "lookup_id")} for row in concluded]
        return concluded
