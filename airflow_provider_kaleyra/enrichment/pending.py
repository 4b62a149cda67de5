"""Pending rows of ledger and result table: which there are, and settling them once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Table, func, inspect, select
from sqlalchemy.engine import Connection, Engine

from airflow_provider_kaleyra.api.models import NumberLookup
from airflow_provider_kaleyra.enrichment.kinds import ANSWERED, NUMBER, Kind
from airflow_provider_kaleyra.enrichment.ledger import PENDING
from airflow_provider_kaleyra.enrichment.tables import (
    clock,
    column_names,
    in_lock_order,
    ledger_table,
    reading,
    result_table,
    split_name,
    writing,
)
from airflow_provider_kaleyra.enrichment.upsert import parts, upsert
from airflow_provider_kaleyra.enrichment.waiting import PAGE, Question
from airflow_provider_kaleyra.errors import ConfigurationError

EXPIRES = timedelta(hours=24)
"""An id that the service does not know so long after it was submitted has expired."""

Outcomes = Mapping[tuple[str, str | None], Mapping[str, Any]]
"""Columns by number and id."""

_LEARNT = ("status", "reason", "answered_at", "response_code", "error_message", *NUMBER.answer_types)


class PendingTable:
    """The pending rows of a result table, each with its ledger row.

    What the result table has no column for is left out in the ledger, too.

    :param run_id: only the rows of this run.
    :param kind: the number lookup, with what is left out besides.
    :raises ConfigurationError: if there is no such table, or no ledger beside it.
    """

    def __init__(self, engine: Engine, name: str, run_id: str | None = None, kind: Kind = NUMBER) -> None:
        self._engine = engine
        self._result = result_table(NUMBER, name)
        self._ledger = ledger_table(NUMBER, split_name(name)[0])
        self._run_id = run_id
        for table in (self._result, self._ledger):
            if not inspect(engine).has_table(table.name, schema=table.schema):
                raise ConfigurationError(
                    f"Table {table.fullname} does not exist: result_table must be one that "
                    "NumberLookupOperator has filed in"
                )
        there = column_names(engine, self._result)
        self._result = result_table(NUMBER.only(there), name)
        self._kind = kind.only(there)

    def pages(self) -> Iterator[Sequence[Question]]:
        """Yield the ids that are pending, each once, in the order of the ids."""
        rows = self._result.c
        page = (
            select(rows.lookup_id, rows.phone_number, func.min(rows.asked_at).label("asked_at"))
            .where(rows.status == PENDING, rows.lookup_id.is_not(None))
            .group_by(rows.lookup_id, rows.phone_number)
            .order_by(rows.lookup_id)
            .limit(PAGE)
        )
        if self._run_id is not None:
            page = page.where(rows.run_id == self._run_id)
        last = None
        while True:
            with reading(self._engine) as connection:
                expired = clock(connection) - EXPIRES
                found = connection.execute(
                    page if last is None else page.where(rows.lookup_id > last)
                ).fetchall()
            yield [
                Question(row.lookup_id, row.phone_number, bool(row.asked_at and row.asked_at < expired))
                for row in found
            ]
            if len(found) < PAGE:
                return
            last = found[-1].lookup_id

    def settle(self, lookups: Sequence[NumberLookup]) -> None:
        """File outcomes in both tables, in one transaction."""
        with writing(self._engine) as connection:
            outcomes = _outcomes(connection, lookups, self._kind)
            _settle_ledger(connection, self._ledger, outcomes, lookups, self._kind)
            self._settle_results(connection, outcomes, lookups)

    def _settle_results(
        self, connection: Connection, outcomes: Outcomes, lookups: Sequence[NumberLookup]
    ) -> None:
        rows = self._result.c
        # Whatever spelling it is: the id is one number's.
        ours = (
            select(rows.raw_number, rows.phone_number, rows.lookup_id)
            .where(rows.status == PENDING)
            .order_by(rows.raw_number)
            .with_for_update()
        )
        settled = [
            {"raw_number": row.raw_number, **outcome}
            for part in parts([lookup.lookup_id for lookup in lookups])
            for row in connection.execute(ours.where(rows.lookup_id.in_(part)))
            if (outcome := outcomes.get((row.phone_number, row.lookup_id)))
        ]
        _update(connection, self._result, settled, self._kind)

    def counts(self) -> dict[str, int]:
        """Count the rows of the result table by their status."""
        rows = self._result.c
        count = select(rows.status, func.count()).group_by(rows.status)
        with reading(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(count)}


def _settle_ledger(
    connection: Connection, ledger: Table, outcomes: Outcomes, lookups: Sequence[NumberLookup], kind: Kind
) -> None:
    """File what became of pending lookups, and add their price, where the ledger still waits for them."""
    prices = {lookup.lookup_id: lookup.price or Decimal(0) for lookup in lookups}
    columns = ledger.c
    ours = (
        select(columns.phone_number, columns.lookup_id, columns.purchases, columns.spent)
        .where(columns.status == PENDING)
        .order_by(columns.phone_number)
        .with_for_update()
    )
    settled = []
    for part in parts(sorted({lookup.phone_number for lookup in lookups})):
        for row in connection.execute(ours.where(columns.phone_number.in_(part))):
            if outcome := outcomes.get((row.phone_number, row.lookup_id)):
                spent = row.spent + prices[row.lookup_id]
                same = {"phone_number": row.phone_number, "purchases": row.purchases}
                settled.append({**same, **outcome, "spent": spent})
    _update(connection, ledger, settled, kind)


def file_in_ledger(engine: Engine, kind: Kind, lookups: Sequence[NumberLookup]) -> None:
    """File what became of pending lookups in the ledger of a run without a result table."""
    with writing(engine) as connection:
        outcomes = _outcomes(connection, lookups, kind)
        _settle_ledger(connection, ledger_table(kind, None), outcomes, lookups, kind)


def spent_by(engine: Engine, name: str | None, run_id: str) -> Decimal:
    """Sum up what the numbers that a run asked about last have cost in all.

    :param name: the result table whose ledger it is, if there is one.
    """
    columns = ledger_table(NUMBER, split_name(name or "")[0]).c
    total = select(func.sum(columns.spent)).where(columns.run_id == run_id)
    with reading(engine) as connection:
        found = connection.execute(total).scalar_one()
    # SQLite sums up floats.
    return round(Decimal(str(found or 0)), 10)


def _outcomes(connection: Connection, lookups: Sequence[NumberLookup], kind: Kind) -> Outcomes:
    """Give the columns of each outcome, all answered at the same moment of the database's clock."""
    now = clock(connection)
    return {
        (lookup.phone_number, lookup.lookup_id): {
            **kind.learnt(lookup),
            "answered_at": now if lookup.status in ANSWERED else None,
        }
        for lookup in lookups
    }


def _update(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], kind: Kind) -> None:
    """Update rows that are there and locked; what is no answer leaves an earlier one's columns."""
    there = [{name: value for name, value in row.items() if name in table.c} for row in rows]
    changed = [name for name in (*_LEARNT, "spent") if name in table.c]
    (key,) = table.primary_key.columns
    for kept, group in in_lock_order(there, key.name, kind):
        upsert(connection, table, group, columns=[name for name in changed if name not in kept])
