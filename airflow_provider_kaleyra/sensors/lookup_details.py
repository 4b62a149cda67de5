"""Waiting for submitted number lookups, by id or by table."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_kaleyra.enrichment.job import check_columns
from airflow_provider_kaleyra.enrichment.kinds import NUMBER
from airflow_provider_kaleyra.errors import (
    ConfigurationError,
    KaleyraError,
    SetupError,
    StillPendingError,
    StoppedError,
)
from airflow_provider_kaleyra.operators.numbers import Concealed, conceal, revealed
from airflow_provider_kaleyra.operators.runs import failing_for_good
from airflow_provider_kaleyra.retries import default_policy

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kaleyra.enrichment.waiting import Question, Waiting


class LookupDetailsSensor(BaseSensorOperator):
    """Wait until submitted lookups are answered. Asking by id is free.

    Give ``lookup_id``, or a table whose pending rows are settled as their answers come. What came before the
    time was up stays filed. Rests on "GET Lookup Details by Lookup ID", whose page is not known.

    :param lookup_id: an id, a list of ids, or the list that ``NumberLookupOperator(mode="submit")`` returns;
        also an XComArg. The return value is the details as a dict, or a list of them in the same order.
    :param sql_conn_id: Airflow connection of the table's database.
    :param result_table: a table that ``NumberLookupOperator`` has filed in: every pending row of it is waited
        for. The return value counts its rows by status.
    :param columns: the answer's columns to file, or without a table to return, as in the operator that has
        submitted the lookups. By default all; what a table has no column for is left out anyway.
    :param kaleyra_conn_id: Airflow connection of type ``kaleyra``.
    :param deferrable: wait in the triggerer, without a worker; by default as Airflow's configuration says.
    :param max_workers: requests in flight.
    :param exponential_backoff: wait longer from round to round,
    :param max_wait: up to so long; by default ten times ``poke_interval``.
    """

    template_fields: Sequence[str] = ("lookup_id", "kaleyra_conn_id", "sql_conn_id", "result_table")
    ui_color = "#e3f4f1"

    # The list that an operator returns holds phone numbers: where it is shown, a count stands.
    lookup_id = Concealed(partial(conceal, what="lookups"))
    _waiting: Waiting | None = None
    _pending: Any = None
    _told_to_end = False
    _failed = 0

    def __init__(
        self,
        *,
        lookup_id: Any = None,
        sql_conn_id: str | None = None,
        result_table: str | None = None,
        columns: Sequence[str] | None = None,
        kaleyra_conn_id: str = "kaleyra_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        max_workers: int = 8,
        exponential_backoff: Any = True,
        max_wait: timedelta | float | None = None,
        **kwargs: Any,
    ) -> None:
        # Not setdefault: the partial of a mapped task passes None.
        if policy := kwargs.get("retry_policy") or default_policy():
            kwargs["retry_policy"] = policy
        super().__init__(exponential_backoff=exponential_backoff, max_wait=max_wait, **kwargs)
        if self.max_wait is None:
            self.max_wait = timedelta(seconds=10 * self.poke_interval)
        self.lookup_id = lookup_id
        self.sql_conn_id = sql_conn_id
        self.result_table = result_table
        self.columns = columns
        self.kaleyra_conn_id = kaleyra_conn_id
        self.deferrable = deferrable
        self.max_workers = max_workers
        if (lookup_id is None) == (result_table is None):
            raise ConfigurationError("Give exactly one of lookup_id and result_table")
        if (result_table is None) != (sql_conn_id is None):
            raise ConfigurationError("result_table goes with sql_conn_id, the connection of its database")
        if isinstance(max_workers, bool) or not isinstance(max_workers, int) or not 1 <= max_workers <= 256:
            raise ConfigurationError(f"max_workers must be 1 to 256, not {max_workers!r}")
        check_columns(columns, NUMBER)

    def execute(self, context: Context) -> Any:
        """Wait, here or in the triggerer; give the details, or with a table the counts."""
        if self.deferrable:
            with failing_for_good():
                self._defer()
        try:
            return super().execute(context)
        except (AirflowSensorTimeout, AirflowSkipException) as error:
            if self._waiting is None or not self._waiting.last.pending:
                raise
            from airflow_provider_kaleyra.enrichment.waiting import missing

            raise type(error)(f"{error} {missing(self._waiting.last)}") from None

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002
        """Ask once about each id that is not answered yet, and file what came."""
        from airflow_provider_kaleyra.enrichment.waiting import FAILED_ROUNDS

        with failing_for_good():
            waiting = self._prepare()
            try:
                waiting.last = waiting.round()
            except (SetupError, StoppedError):
                raise
            except KaleyraError as error:
                self._failed += 1
                if self._failed > FAILED_ROUNDS:
                    raise
                self.log.warning("A round failed, the next one may not: %s", error)
                return PokeReturnValue(False)
            self._failed = 0
            done = not waiting.last.pending
            return PokeReturnValue(done, self._result() if done else None)

    def execute_complete(self, context: Context, event: dict[str, Any] | None) -> Any:  # noqa: ARG002
        """Go on after the trigger: give what it waited for."""
        from airflow_provider_kaleyra.triggers.lookup_details import read_event

        with failing_for_good():
            told = read_event(event)
            if told["status"] == "timeout":
                raise self._too_late(told["message"])
            try:
                # A table's rows are settled, and nothing is asked; the details of a list are asked for again.
                waiting = self._prepare()
                waiting.wait(self.poke_interval, told["deadline"])
            except StillPendingError as error:
                raise self._too_late(str(error)) from None
            return self._result()

    def on_kill(self) -> None:
        """Ask nothing more; what came is filed."""
        # While the task prepares there is nothing to stop yet.
        self._told_to_end = True
        if self._waiting is not None:
            self._waiting.stop()

    def _too_late(self, message: str) -> Exception:
        self.log.warning("Time is up: %s", message)
        return AirflowSkipException(message) if self.soft_fail else AirflowSensorTimeout(message)

    def _defer(self) -> None:
        from airflow_provider_kaleyra.triggers.lookup_details import LookupDetailsTrigger

        self.defer(
            trigger=LookupDetailsTrigger(
                kaleyra_conn_id=self.kaleyra_conn_id,
                poll_interval=self.poke_interval,
                deadline=time.time() + self.timeout,
                max_interval=self._longest(),
                max_workers=self.max_workers,
                lookup_ids=None if self.result_table else [one.lookup_id for one in self._questions()],
                sql_conn_id=self.sql_conn_id,
                result_table=self.result_table,
                columns=self.columns,
            ),
            method_name="execute_complete",
        )

    def _longest(self) -> float:
        if not self.exponential_backoff:
            return self.poke_interval
        return self.max_wait.total_seconds() if self.max_wait else self.poke_interval * 10

    def _prepare(self) -> Waiting:
        """Give what does the rounds, the same one to each: it has the connection's rate limit."""
        if self._waiting is None:
            from airflow_provider_kaleyra.enrichment.waiting import PendingList, Waiting
            from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

            if self.result_table is None:
                self._pending = PendingList(self._questions())
            else:
                from airflow_provider_kaleyra.enrichment.database import engine_of
                from airflow_provider_kaleyra.enrichment.pending import PendingTable

                engine = engine_of(str(self.sql_conn_id))
                self._pending = PendingTable(engine, self.result_table, kind=NUMBER.only(self.columns))
            client = KaleyraHook(self.kaleyra_conn_id).get_conn()
            self._waiting = Waiting(client, self._pending, self.max_workers)
            if self._told_to_end:
                self._waiting.stop()
        return self._waiting

    def _questions(self) -> list[Question]:
        from airflow_provider_kaleyra.enrichment.waiting import Question

        return [Question(lookup_id, number) for lookup_id, number in read_ids(revealed(self.lookup_id))]

    def _result(self) -> Any:
        if self.result_table is not None:
            return {"result_table": self.result_table, **self._pending.counts()}
        from airflow_provider_kaleyra.enrichment.waiting import details_of

        kind = NUMBER.only(self.columns)
        found = [details_of(self._pending.found[one.lookup_id], kind) for one in self._questions()]
        return found[0] if found and is_single(revealed(self.lookup_id)) else found


def is_single(value: Any) -> bool:
    """Tell whether one id was given, rather than a list."""
    return isinstance(value, Mapping) or (isinstance(value, str) and not value.strip().startswith("["))


def read_ids(value: Any) -> list[tuple[str, str | None]]:
    """Read the parameter ``lookup_id``.

    :param value: an id, a list of ids, of dicts with a ``lookup_id``, or of nothing, which is skipped; or
        JSON text of such a list.
    :return: ids, and the E.164 number of each where a dict has it as ``phone_number``.
    :raises ConfigurationError: for anything else.
    """
    if isinstance(value, str) and not is_single(value):
        try:
            value = json.loads(value)
        except ValueError:
            raise ConfigurationError("lookup_id: the text begins like JSON and is none") from None
    items = [value] if is_single(value) else value
    if not isinstance(items, Sequence) and not hasattr(items, "__iter__"):
        raise ConfigurationError(
            f"lookup_id must be an id, a list of ids or of dicts with one, not {type(value).__name__}"
            + (": did the upstream task return nothing?" if value is None else "")
        )
    found = [item.get("lookup_id") if isinstance(item, Mapping) else item for item in items]
    if any(lookup_id is not None and not isinstance(lookup_id, str) for lookup_id in found):
        raise ConfigurationError("lookup_id: an id is text")
    numbers = [item.get("phone_number") if isinstance(item, Mapping) else None for item in items]
    return [(lookup_id, number) for lookup_id, number in zip(found, numbers, strict=True) if lookup_id]
