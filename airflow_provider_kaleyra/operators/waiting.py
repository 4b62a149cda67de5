"""Waiting for submitted lookups, on a worker or in the triggerer, and bringing their run to its end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_kaleyra.errors import StillPendingError
from airflow_provider_kaleyra.operators.base import EnrichmentOperator
from airflow_provider_kaleyra.operators.ending import Ending
from airflow_provider_kaleyra.operators.runs import failing_for_good, run_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kaleyra.enrichment.kinds import Kind
    from airflow_provider_kaleyra.enrichment.run import Enrichment
    from airflow_provider_kaleyra.enrichment.waiting import Waiting

MARGIN = 60.0
"""Seconds before ``execution_timeout`` at which a task stops waiting by itself, and says what is missing."""
SUBMITTED = "submitted"
"""The XCom that holds over a deferral what is known of the run, and outcomes where no table does."""
ONCE_MORE = 5
"""How often a run waits again for rows that another run of its table has taken over."""


class WaitingOperator(EnrichmentOperator):
    """An operator whose lookups may be answered later."""

    deferrable: bool
    poll_interval: float
    wait_timeout: float
    _waiting: Waiting | None = None

    def execute_complete(self, context: Context, event: dict[str, Any] | None) -> Any:
        """Go on after the trigger: file what is known now."""
        from airflow_provider_kaleyra.triggers.lookup_details import read_event

        with failing_for_good():
            told = read_event(event)
            ti = context["ti"]
            kept = ti.xcom_pull(task_ids=ti.task_id, key=SUBMITTED, map_indexes=ti.map_index)
            ending = Ending(**kept).after(told["requests"])
            if self.result_table is None:
                return self._ask_later(context, ending)
            return self._end(context, ending, told["message"] if told["status"] == "timeout" else None)

    def _ending(self, context: Context, enrichment: Enrichment, started: float) -> Ending:
        from airflow_provider_kaleyra.enrichment.ledger import Ledger

        limit = self.execution_timeout.total_seconds() if self.execution_timeout else float("inf")
        limit -= min(MARGIN, limit / 10)
        memory, summary = enrichment.memory, enrichment.summary
        began = memory.started if isinstance(memory, Ledger) else datetime.fromtimestamp(started, UTC)
        deadline = min(time.time() + self.wait_timeout, started + limit)
        price = str(summary.price)
        ending = Ending(began.isoformat(), started, deadline, summary.asked, summary.requests, price)
        return replace(ending, spent=str(self._spent(context)))

    def _spent(self, context: Context) -> Decimal:
        if self.result_table is None:
            return Decimal(0)
        from airflow_provider_kaleyra.enrichment.pending import spent_by

        return spent_by(self._engine(), self.result_table, run_of(context).id)

    def _engine(self) -> Any:
        from airflow_provider_kaleyra.enrichment.database import engine_of

        return engine_of(str(self._job().output_conn_id))

    def _wait(self, context: Context, enrichment: Enrichment, ending: Ending) -> Any:
        """Wait for what is pending, here or in the triggerer."""
        if self.result_table is None:
            # The newest outcome of each number, by ids that questions need and values that answers complete.
            rows = enrichment.output.rows()  # type: ignore[attr-defined]
            known = {row["phone_number"]: row for row in rows if row["status"] != "not_asked"}
            known.pop(None, None)
            outcomes = [{name: v for name, v in row.items() if v is not None} for row in known.values()]
            ending = replace(ending, outcomes=outcomes)
        if not self.deferrable:
            return self._ask_later(context, ending)
        from airflow_provider_kaleyra.triggers.lookup_details import LookupDetailsTrigger

        table = self.result_table is not None
        # Not as the method's kwargs: these may hold numbers, and dag.test() forgets them.
        context["ti"].xcom_push(key=SUBMITTED, value=asdict(ending))
        self.defer(
            trigger=LookupDetailsTrigger(
                kaleyra_conn_id=self.kaleyra_conn_id,
                poll_interval=self.poll_interval,
                deadline=ending.deadline,
                max_workers=self.max_workers,
                lookup_ids=None if table else [row["lookup_id"] for row in _pending(ending)],
                sql_conn_id=self._job().output_conn_id if table else None,
                result_table=self.result_table,
                run_id=run_of(context).id if table else None,
                columns=self.columns,
            ),
            method_name="execute_complete",
        )
        return None

    def _ask_later(self, context: Context, ending: Ending) -> Any:
        """Ask about what is pending until the deadline, then bring the run to its end."""
        from airflow_provider_kaleyra.enrichment.pending import PendingTable, file_in_ledger
        from airflow_provider_kaleyra.enrichment.waiting import PendingList, Question, Waiting
        from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

        kind = self.kind.only(self.columns)
        pending: Any
        if self.result_table is not None:
            pending = PendingTable(self._engine(), self.result_table, run_of(context).id, kind)
        else:
            questions = [Question(row["lookup_id"], row["phone_number"]) for row in _pending(ending)]
            file = partial(file_in_ledger, self._engine(), kind) if self.ledger_conn_id else None
            pending = PendingList(questions, file)
        client = KaleyraHook(self.kaleyra_conn_id).get_conn()
        self._waiting = Waiting(client, pending, self.max_workers)
        if self._told_to_end:
            self._waiting.stop()
        late = None
        try:
            self._waiting.wait(self.poll_interval, ending.deadline)
        except StillPendingError as error:
            late = str(error)
        ending = ending.after(client.requests_sent)
        if isinstance(pending, PendingList):
            ending = _with(ending, pending.found, kind)
        return self._end(context, ending, late)

    def _end(self, context: Context, ending: Ending, late: str | None) -> Any:
        """File what is known now for every input.

        :raises AirflowException: if the time is over and answers are missing.
        """
        # What another run has taken over is no longer in the sum.
        price = max(Decimal(0), self._spent(context) - Decimal(ending.spent))
        enrichment = self._enrich(context, ending.after(0, price))
        if late is not None:
            raise AirflowException(late)
        if left := enrichment.summary.buckets["pending"]:
            # Another run of this table has taken rows over.
            if ending.again >= ONCE_MORE:
                raise AirflowException(f"{left:,} inputs are still pending: another run waits for them too")
            return self._wait(context, enrichment, replace(ending, again=ending.again + 1))
        return self._conclude(enrichment)

    def on_kill(self) -> None:
        """Ask nothing more; what is in flight is still awaited and filed."""
        super().on_kill()
        if self._waiting is not None:
            self._waiting.stop()


def _with(ending: Ending, found: Mapping[str, Any], kind: Kind) -> Ending:
    """Add the outcomes of ids and their price."""
    from airflow_provider_kaleyra.enrichment.waiting import completed

    price = sum((lookup.price or Decimal(0) for lookup in found.values()), Decimal(0))
    outcomes = [completed(row, found.get(row.get("lookup_id", "")), kind) for row in ending.outcomes]
    return replace(ending.after(0, price), outcomes=outcomes)


def _pending(ending: Ending) -> list[Mapping[str, Any]]:
    return [row for row in ending.outcomes if row["status"] == "pending"]
