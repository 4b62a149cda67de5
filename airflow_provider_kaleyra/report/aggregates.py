"""What result tables and ledgers hold, counted by the database. No number leaves it whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Boolean, Text, case, column, func, inspect, select, table
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.sql import ColumnElement, Select, TableClause

from airflow_provider_kaleyra.enrichment.kinds import OUTCOME_COLUMNS, Kind
from airflow_provider_kaleyra.enrichment.tables import Money, reading, split_name
from airflow_provider_kaleyra.errors import ConfigurationError

MOST_GROUPS = 1000
MOST_DAYS = 30
GROUPED_BY = ("run", "day", "status")

FLAGS = {"rcs": "rcs_enabled", "number": "is_ported"}
"""The yes, no or unknown of each API that the report counts,"""
GROUPS = {"rcs": "carrier_id", "number": "current_operator"}
"""and by which carrier."""


class Outcome(NamedTuple):
    """Rows of one status and reason: in the whole table, and asked about by this run."""

    status: str
    reason: str | None
    rows: int
    of_run: int


class Split(NamedTuple):
    """Answered rows of one group, by a yes, no or unknown."""

    label: str | None
    yes: int
    no: int
    unknown: int


class Day(NamedTuple):
    """What the numbers cost that were last asked about on a day."""

    day: str
    lookups: int
    spent: Decimal


class Total(NamedTuple):
    """Numbers that a ledger has of one run, day or status, and what they have come to in all."""

    label: str | None
    numbers: int
    purchases: int
    spent: Decimal


@dataclass(frozen=True)
class Results:
    """What a result table holds."""

    outcomes: Sequence[Outcome]
    by_carrier: Sequence[Split]
    by_country: Sequence[Split]
    """RCS: by the first three digits of the number; number lookup: by the ISO country in the answer."""


@dataclass(frozen=True)
class Books:
    """What a ledger holds: of one row a number."""

    outcomes: Sequence[Outcome]
    days: Sequence[Day]
    numbers: int
    lookups: int
    spent: Decimal
    bought_again: int
    """Numbers that were, or may have been, bought more than once."""


def results(engine: Engine, kind: Kind, name: str, run_id: str) -> Results:
    """Count a result table.

    :param run_id: whose rows to count apart.
    :raises ConfigurationError: if there is no result table of this API by that name.
    :raises FilingError: if the database refuses.
    """
    schema, bare = split_name(name)
    there = _columns(engine, bare, schema)
    if not {"raw_number", "phone_number", *OUTCOME_COLUMNS} <= there or "purchases" in there:
        raise ConfigurationError(f"{name} is no result table of the {kind.name} lookup")
    filed = _described(bare, schema, kind, there)
    carrier, flag = GROUPS[kind.name], FLAGS[kind.name]
    with reading(engine) as connection:
        by_carrier: Sequence[Split] = ()
        by_country: Sequence[Split] = ()
        if flag in there:
            if carrier in there:
                by_carrier = _split(connection, filed, filed.c[carrier], flag)
            if kind.name == "rcs":
                # RCS answers name no country: the calling code does, and it has three digits at most.
                by_country = _split(connection, filed, func.substr(filed.c.phone_number, 1, 4), flag)
            elif "country" in there:
                by_country = _split(connection, filed, filed.c.country, flag)
        return Results(_outcomes(connection, filed, run_id), by_carrier, by_country)


def books(engine: Engine, kind: Kind, schema: str | None, run_id: str) -> Books | None:
    """Count a ledger, if it is there.

    :param run_id: whose rows to count apart.
    :raises FilingError: if the database refuses.
    """
    ledger = _ledger(engine, kind, schema)
    if ledger is None:
        return None
    totals = select(
        func.count(),
        func.coalesce(func.sum(ledger.c.purchases), 0),
        func.sum(ledger.c.spent),
        _count_if(ledger.c.purchases > 1),
    ).select_from(ledger)
    day = _day(ledger.c.asked_at, engine.dialect.name)
    days = (
        _totals(ledger, day)
        .where(ledger.c.purchases > 0, ledger.c.asked_at.is_not(None))
        .order_by(day.desc())
        .limit(MOST_DAYS)
    )
    with reading(engine) as connection:
        numbers, lookups, spent, bought_again = connection.execute(totals).one()
        return Books(
            outcomes=_outcomes(connection, ledger, run_id),
            days=[
                Day(str(row[0]), int(row[2]), _amount(row[3]))
                for row in reversed(connection.execute(days).all())
            ],
            numbers=numbers,
            lookups=int(lookups),
            spent=_amount(spent),
            bought_again=int(bought_again or 0),
        )


def totals(engine: Engine, kind: Kind, schema: str | None, by: str) -> list[Total]:
    """Add up a ledger by one of ``GROUPED_BY``: by what its numbers have of their last question.

    :raises ConfigurationError: if there is no such ledger.
    :raises FilingError: if the database refuses.
    """
    ledger = _ledger(engine, kind, schema)
    if ledger is None:
        where = f"schema {schema} of this database" if schema else "this database"
        raise ConfigurationError(f"There is no {kind.ledger} in {where}")
    groups = {
        "run": ledger.c.run_id,
        "day": _day(ledger.c.asked_at, engine.dialect.name),
        "status": ledger.c.status,
    }
    with reading(engine) as connection:
        rows = connection.execute(_totals(ledger, groups[by]).order_by(groups[by])).all()
    return [Total(row[0], int(row[1]), int(row[2]), _amount(row[3])) for row in rows]


def _totals(ledger: TableClause, group: ColumnElement[Any]) -> Select[Any]:
    purchases, spent = func.sum(ledger.c.purchases), func.sum(ledger.c.spent)
    return select(group, func.count(), purchases, spent).group_by(group)


def _ledger(engine: Engine, kind: Kind, schema: str | None) -> TableClause | None:
    there = _columns(engine, kind.ledger, schema)
    if not {"phone_number", "purchases", "spent", *OUTCOME_COLUMNS} <= there:
        return None
    return _described(kind.ledger, schema, kind, there)


def _columns(engine: Engine, name: str, schema: str | None) -> set[str]:
    inspector = inspect(engine)
    if not inspector.has_table(name, schema=schema):
        return set()
    return {str(found["name"]) for found in inspector.get_columns(name, schema=schema)}


def _described(name: str, schema: str | None, kind: Kind, there: set[str]) -> TableClause:
    types: dict[str, Any] = {FLAGS[kind.name]: Boolean, "spent": Money}
    return table(name, *(column(each, types.get(each, Text)) for each in there), schema=schema)


def _outcomes(connection: Connection, counted: TableClause, run_id: str) -> list[Outcome]:
    rows = func.count()
    statement = (
        select(counted.c.status, counted.c.reason, rows, _count_if(counted.c.run_id == run_id))
        .group_by(counted.c.status, counted.c.reason)
        .order_by(rows.desc(), counted.c.status)
        .limit(MOST_GROUPS)
    )
    return [
        Outcome(row[0], row[1], int(row[2]), int(row[3] or 0)) for row in connection.execute(statement).all()
    ]


def _split(connection: Connection, counted: TableClause, group: ColumnElement[Any], flag: str) -> list[Split]:
    answer = counted.c[flag]
    statement = (
        select(
            group,
            _count_if(answer.is_(True)),
            _count_if(answer.is_(False)),
            _count_if(answer.is_(None)),
        )
        .where(counted.c.status == "ok")
        .group_by(group)
        .order_by(func.count().desc())
        .limit(MOST_GROUPS)
    )
    return [Split(row[0], *(int(count or 0) for count in row[1:])) for row in connection.execute(statement)]


def _count_if(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.sum(case((condition, 1), else_=0))


def _day(moment: ColumnElement[Any], dialect: str) -> ColumnElement[Any]:
    """Give the UTC day of a moment as text."""
    if dialect == "postgresql":
        return func.to_char(func.timezone("UTC", moment), "YYYY-MM-DD")
    if dialect in ("mysql", "mariadb"):
        return func.date_format(moment, "%Y-%m-%d")
    return func.substr(moment, 1, 10)


def _amount(value: Any) -> Decimal:
    """Give a sum without what a database that adds in floats has added to it."""
    return Decimal(str(value or 0)).quantize(Decimal("0.000001"))
