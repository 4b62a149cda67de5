"""Where outcomes go: a result table and the source table's own columns, or a list for the XCom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import (
    Boolean,
    Date,
    DateTime,
    Float,
    Integer,
    Numeric,
    String,
    Time,
    and_,
    bindparam,
    update,
)
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.types import TypeEngine

from airflow_provider_kaleyra.enrichment.kinds import OUTCOME_COLUMNS, Kind
from airflow_provider_kaleyra.enrichment.plan import Input, raw_key
from airflow_provider_kaleyra.enrichment.source import TableSource
from airflow_provider_kaleyra.enrichment.tables import ensure, in_lock_order, result_table, writing
from airflow_provider_kaleyra.enrichment.trial import try_out
from airflow_provider_kaleyra.enrichment.upsert import upsert
from airflow_provider_kaleyra.errors import ConfigurationError

Outcome = Mapping[str, Any]

_DIGITS = ("phone_number", "_mcc", "_mnc", "carrier_id")
"""How fields end whose text is a number, which databases read as one."""
_OF_THE_ASKING = frozenset(OUTCOME_COLUMNS) - {"answered_at"}


class Output(Protocol):
    """Something that files outcomes."""

    def file(self, connection: Connection | None, outcomes: Sequence[tuple[Input, Outcome]]) -> None:
        """File the outcome of each input, in the transaction of ``connection`` if there is one."""
        ...

    def leave(self, number: str, inputs: Sequence[Input]) -> None:
        """Take note of inputs whose number this run did not ask about."""
        ...


class ListOutput:
    """Outcomes as JSON values, in the order of the inputs."""

    def __init__(self, kind: Kind) -> None:
        self._columns = kind.result_columns
        self._rows: dict[int, dict[str, Any]] = {}

    def file(self, connection: Connection | None, outcomes: Sequence[tuple[Input, Outcome]]) -> None:  # noqa: ARG002
        """Keep the outcomes."""
        for item, outcome in outcomes:
            row = {**outcome, "raw_number": item.raw}
            self._rows[item.position] = {name: _jsonable(row.get(name)) for name in self._columns}

    def leave(self, number: str, inputs: Sequence[Input]) -> None:
        """Say so in their places."""
        self.file(None, [(item, {"phone_number": number, "status": "not_asked"}) for item in inputs])

    def rows(self) -> list[dict[str, Any]]:
        """Give one outcome for each input."""
        return [self._rows[position] for position in sorted(self._rows)]


class TableOutput:
    """A result table, one row for each raw input.

    :raises ConfigurationError: if it does not take outcomes.
    """

    def __init__(self, engine: Engine, kind: Kind, name: str, write_back: WriteBack | None = None) -> None:
        self._kind = kind
        self._write_back = write_back
        there = ensure(engine, result_table(kind, name))
        # Columns that are left out and that the table has all the same are emptied.
        self.table = result_table(kind.whole.only(there), name)
        try_out(engine, self.table)

    def file(self, connection: Connection | None, outcomes: Sequence[tuple[Input, Outcome]]) -> None:
        """Upsert the outcomes, and write them back."""
        if connection is None:
            raise TypeError("a result table is filed in a transaction")
        names = self.table.c.keys()
        blank = dict.fromkeys(names)
        rows = {
            key: {**blank, **self._kind.filed(outcome), "raw_number": key}
            for item, outcome in outcomes
            for key in [raw_key(item.raw)]
        }
        for kept, group in in_lock_order(rows.values(), "raw_number", self._kind):
            upsert(connection, self.table, group, columns=[name for name in names[1:] if name not in kept])
        if self._write_back:
            self._write_back.file(connection, outcomes)

    def leave(self, number: str, inputs: Sequence[Input]) -> None:
        """Leave their rows as they are: the next run asks."""


class WriteBack:
    """Outcome fields copied into the source table's own columns, row by row along its primary key.

    :param columns: source column to outcome field.
    :param apart: whether the source is another database than the results', with a transaction of its own.
    """

    def __init__(
        self, engine: Engine, kind: Kind, source: TableSource, columns: Mapping[str, str], *, apart: bool
    ) -> None:
        self._engine = engine
        self._columns = dict(columns)
        self._kind = kind
        self._key = source.key
        self._table = source.table
        self._apart = apart
        name = source.table.fullname
        if not source.key:
            raise ConfigurationError(f"write_back needs a primary key, and source_table {name} has none")
        if source.has_null_keys:
            raise ConfigurationError(
                f"write_back needs a primary key, and that of source_table {name} is null in some rows"
            )
        missing = [column for column in columns if column not in source.table.c]
        if missing:
            raise ConfigurationError(
                f"write_back names columns that source_table {name} does not have: {', '.join(missing)}"
            )
        for column, field in columns.items():
            kind_of_column = source.table.c[column].type
            if not _fits(field, kind, kind_of_column, engine.dialect.name):
                raise ConfigurationError(
                    f"write_back cannot put {field} into the column {column} of source_table {name}, "
                    f"which is {kind_of_column!r}: name a column of text"
                )

    def file(self, connection: Connection, outcomes: Sequence[tuple[Input, Outcome]]) -> None:
        """Update the rows of the inputs."""
        if self._apart:
            with writing(self._engine) as own:
                self._update(own, outcomes)
        else:
            self._update(connection, outcomes)

    def _update(self, connection: Connection, outcomes: Sequence[tuple[Input, Outcome]]) -> None:
        rows = [{**outcome, "position": item.position, "key": item.key} for item, outcome in outcomes]
        for kept, group in in_lock_order(rows, "position", self._kind):
            written = _OF_THE_ASKING | ({"lookup_id"} - kept)
            columns = {
                column: field for column, field in self._columns.items() if not kept or field in written
            }
            if not columns:
                continue
            statement = (
                update(self._table)
                .where(and_(*(part == bindparam(f"key_{n}") for n, part in enumerate(self._key))))
                .values({column: bindparam(f"value_{column}") for column in columns})
            )
            values = [
                {
                    **{f"key_{n}": part for n, part in enumerate(row["key"])},
                    **{
                        f"value_{column}": _fit(row.get(field), self._table.c[column].type)
                        for column, field in columns.items()
                    },
                }
                for row in group
            ]
            connection.execute(statement, values)


def _fits(field: str, kind: Kind, column: TypeEngine[Any], dialect: str) -> bool:
    """Tell whether a column can hold a field, as far as that can be known without a value."""
    python_type = "datetime" if field.endswith("_at") else kind.answer_types.get(field, "str")
    if isinstance(column, Boolean):
        return python_type == "bool"
    if isinstance(column, Date | DateTime | Time):
        return python_type == "datetime"
    if isinstance(column, Integer) and dialect == "sqlite":
        # There it is no more than advice.
        return True
    if isinstance(column, Numeric | Float | Integer):
        return python_type in ("bool", "int") or field.endswith(_DIGITS)
    return True


def _fit(value: Any, kind: TypeEngine[Any]) -> Any:
    """Give a value in the type of the user's column."""
    if isinstance(value, datetime):
        if isinstance(kind, DateTime):
            return value if kind.timezone else value.astimezone(UTC).replace(tzinfo=None)
        return value.isoformat() if isinstance(kind, String) else value
    if value is not None and isinstance(kind, String):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return int(value) if isinstance(value, bool) and isinstance(kind, Numeric | Integer) else value


def _jsonable(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
