"""Upserts, a batch in one statement: its rows go to the database as one JSON document.

So SQLite, PostgreSQL, MySQL and MariaDB take them nearly as fast as they can, whatever the driver. Any other
database gets an UPDATE of the rows that are there and an INSERT of those that are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    Column,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    column,
    func,
    literal,
    literal_column,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.sql import ColumnElement

Row = Mapping[str, Any]

ROWS_AT_ONCE = 1000

_DIALECTS: Mapping[str, Any] = {
    "sqlite": sqlite,
    "postgresql": postgresql,
    "mysql": mysql,
    "mariadb": mysql,
}


def upsert(connection: Connection, table: Table, rows: Sequence[Row], *, columns: Sequence[str]) -> None:
    """Insert rows, and where their key is there already, update the named columns and no other.

    :param rows: each key once, all with the same columns in the same order.
    """
    dialect = connection.dialect.name
    for part in parts(rows):
        if dialect in _DIALECTS:
            same = _shared(table, part)
            names = [name for name in part[0] if name not in same]
            statement = _upsert(dialect, table, tuple(names), tuple(columns), tuple(same))
            connection.execute(statement, {"rows": _document(dialect, names, part), **same})
        else:
            (key,) = table.primary_key.columns
            there = _there(connection, key, [row[key.name] for row in part])
            _update(connection, table, [row for row in part if row[key.name] in there], columns)
            _insert(connection, table, [row for row in part if row[key.name] not in there])


def insert_missing(connection: Connection, table: Table, keys: Sequence[str], others: Row) -> int:
    """Insert a row for each key that is not there; where another transaction is quicker, its row stays.

    :param others: the values of the other columns.
    :return: how many rows were inserted, or less where the database does not tell.
    """
    dialect = connection.dialect.name
    (key,) = table.primary_key.columns
    inserted = 0
    for part in parts(keys):
        if dialect in _DIALECTS:
            statement = _upsert(dialect, table, (key.name,), (), tuple(others))
            document = _document(dialect, [key.name], [{key.name: value} for value in part])
            result = connection.execute(statement, {"rows": document, **others})
            # MySQL counts the rows that were there, too.
            inserted += max(0, result.rowcount) if _DIALECTS[dialect] is not mysql else 0
        else:
            there = _there(connection, key, part)
            missing = [{key.name: value, **others} for value in part if value not in there]
            _insert(connection, table, missing)
            inserted += len(missing)
    return inserted


def is_one_of(connection: Connection, column: Column[Any], values: Sequence[str]) -> ColumnElement[bool]:
    """Tell whether a text is one of these, as one parameter where the database takes a list."""
    if connection.dialect.name == "postgresql":
        return column == any_(literal(list(values), postgresql.ARRAY(Text)))
    if connection.dialect.name == "sqlite":
        return column.in_(select(func.json_each(json.dumps(list(values))).table_valued("value").c.value))
    return column.in_(list(values))


def parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Cut what a statement takes at once."""
    for start in range(0, len(items), ROWS_AT_ONCE):
        yield items[start : start + ROWS_AT_ONCE]


def _shared(table: Table, rows: Sequence[Row]) -> dict[str, Any]:
    """Give the columns that have one value in all rows: that is most of them, and needs no document."""
    (key,) = table.primary_key.columns
    first = rows[0]
    return {
        name: value
        for name, value in first.items()
        if name != key.name and all(row[name] is value or row[name] == value for row in rows)
    }


@lru_cache(maxsize=256)
def _upsert(
    dialect: str,
    table: Table,
    names: tuple[str, ...],
    changed: tuple[str, ...],
    others: tuple[str, ...] = (),
) -> Any:
    """Make the statement that takes the columns ``names`` from the document ``rows``.

    :param changed: the columns to update where the key is there; none to leave such rows alone.
    :param others: columns that have the same value in all rows, a parameter of their name.
    """
    columns = [table.c[name] for name in names]
    (key,) = table.primary_key.columns
    source = _SOURCES[dialect](columns).add_columns(
        *(bindparam(name, type_=table.c[name].type) for name in others)
    )
    insert = _DIALECTS[dialect].insert(table).from_select([*names, *others], source, include_defaults=False)
    if dialect in ("mysql", "mariadb"):
        # Not INSERT IGNORE, which would also cut what is too long and say nothing.
        return insert.on_duplicate_key_update(
            {name: insert.inserted[name] for name in changed} or {key.name: key}
        )
    if not changed:
        return insert.on_conflict_do_nothing(index_elements=[key]).execution_options(preserve_rowcount=True)
    return insert.on_conflict_do_update(
        index_elements=[key], set_={name: insert.excluded[name] for name in changed}
    )


def _from_postgresql(columns: Sequence[Column[Any]]) -> Any:
    document = cast(bindparam("rows", type_=Text), postgresql.JSON)
    records = func.json_to_recordset(document).table_valued(*(column(c.name, c.type) for c in columns))
    return select(*records.render_derived("filed", with_types=True).c)


def _from_sqlite(columns: Sequence[Column[Any]]) -> Any:
    each = func.json_each(bindparam("rows", type_=Text)).table_valued("value")
    values = (func.json_extract(each.c.value, f"$[{n}]") for n in range(len(columns)))
    # Without a WHERE, SQLite takes the ON of ON CONFLICT for a join's.
    return select(*values).where(true())


def _from_mysql(columns: Sequence[Column[Any]]) -> Any:
    dialect = mysql.dialect()
    types = (f"{c.name} {c.type.compile(dialect)} PATH '$[{n}]'" for n, c in enumerate(columns))
    table = text(f"JSON_TABLE(:rows, '$[*]' COLUMNS ({', '.join(types)})) AS filed")
    return select(*(literal_column(f"filed.{c.name}") for c in columns)).select_from(table)


_SOURCES = {
    "postgresql": _from_postgresql,
    "sqlite": _from_sqlite,
    "mysql": _from_mysql,
    "mariadb": _from_mysql,
}


def _document(dialect: str, names: Sequence[str], rows: Sequence[Row]) -> str:
    """Write rows as JSON, as objects for PostgreSQL, which reads these best, and as arrays for the others."""
    # Rows share their moments, and it takes longer to write one than all the rest of a row.
    written: dict[int, str] = {}

    def text_of(value: object) -> str:
        if id(value) not in written:
            written[id(value)] = _text(value, zone=dialect == "postgresql")
        return written[id(value)]

    if dialect == "postgresql":
        return json.dumps([{name: row[name] for name in names} for row in rows], default=text_of)
    # With the first name twice, which nobody reads, a lone one makes a list too.
    return json.dumps(list(map(itemgetter(*names, names[0]), rows)), default=text_of)


def _text(value: object, *, zone: bool) -> str:
    """Write moments as SQLAlchemy does, without a zone where there are none, and amounts with all digits."""
    if isinstance(value, datetime):
        moment = value.astimezone(UTC)
        return (moment if zone else moment.replace(tzinfo=None)).isoformat(" ", "microseconds")
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _there(connection: Connection, key: Column[Any], keys: Sequence[str]) -> set[str]:
    return set(connection.execute(select(key).where(key.in_(keys))).scalars())


def _update(connection: Connection, table: Table, rows: Sequence[Row], columns: Sequence[str]) -> None:
    if not rows:
        return
    (key,) = table.primary_key.columns
    statement = update(table).where(key == bindparam("_key"))
    statement = statement.values({name: bindparam(f"_{name}") for name in columns})
    connection.execute(
        statement,
        [{"_key": row[key.name], **{f"_{name}": row[name] for name in columns}} for row in rows],
    )


def _insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    if rows:
        connection.execute(table.insert(), [dict(row) for row in rows])
