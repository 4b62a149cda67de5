"""The tables of the pipeline, and the little SQL that differs between databases."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    inspect,
    literal_column,
    select,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as DBAPITimeoutError
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import TypeDecorator

from airflow_provider_kaleyra.enrichment.kinds import Kind
from airflow_provider_kaleyra.enrichment.plan import KEY_LENGTH
from airflow_provider_kaleyra.errors import ConfigurationError, FilingError
from airflow_provider_kaleyra.phone import mask_text

log = logging.getLogger(__name__)


class Timestamp(TypeDecorator[datetime]):
    """A moment in UTC, also where the database knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        """Keep microseconds, which MySQL drops unless told otherwise."""
        is_mysql = dialect.name in MYSQL
        return dialect.type_descriptor(mysql.DATETIME(fsp=6) if is_mysql else self.impl)

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Give SQLite and MySQL, which have no time zones, the UTC clock's reading."""
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ARG002
        """Read a moment without a zone as UTC."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Money(TypeDecorator[Decimal]):
    """A decimal amount, exact also on SQLite, which keeps 15 digits of what is sent as text."""

    impl = Numeric(20, 10)
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        """Keep SQLAlchemy from rounding through floats on SQLite."""
        return dialect.type_descriptor(
            sqlite.NUMERIC(20, 10, asdecimal=False) if dialect.name == "sqlite" else self.impl
        )

    def process_bind_param(self, value: Decimal | None, dialect: Any) -> Any:
        """Send SQLite the digits."""
        return format(value, "f") if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Any) -> Decimal | None:  # noqa: ARG002
        """Read the digits back."""
        return None if value is None else Decimal(repr(value) if isinstance(value, float) else str(value))


MYSQL = ("mysql", "mariadb")
"""SQLAlchemy's names of MySQL and MariaDB."""

_CLOCKS = {"postgresql": "clock_timestamp()", **dict.fromkeys(MYSQL, "UTC_TIMESTAMP(6)")}
_MYSQL_DENIED = 1142
_MYSQL_KEY = mysql.VARCHAR(KEY_LENGTH, collation="utf8mb4_bin")
KEY = Text().with_variant(_MYSQL_KEY, "mysql").with_variant(_MYSQL_KEY, "mariadb")
_MYSQL_TEXT = mysql.TEXT(collation="utf8mb4_bin")
TEXT = Text().with_variant(_MYSQL_TEXT, "mysql").with_variant(_MYSQL_TEXT, "mariadb")
"""Text that is compared exactly, letter case and all."""
TYPES: dict[str, Any] = {"bool": Boolean, "int": Integer, "str": TEXT}


def result_table(kind: Kind, name: str) -> Table:
    """Describe a result table: one row for each raw input."""
    schema, table = split_name(name)
    return Table(
        table,
        MetaData(),
        Column("raw_number", KEY, primary_key=True),
        Column("phone_number", KEY),
        *_outcome_columns(kind.filed_types),
        schema=schema,
    )


def ledger_table(kind: Kind, schema: str | None) -> Table:
    """Describe a ledger: one row for each E.164 number."""
    return Table(
        kind.ledger,
        MetaData(),
        Column("phone_number", KEY, primary_key=True),
        *_outcome_columns(kind.answer_types),
        Column("purchases", Integer, nullable=False),
        Column("spent", Money, nullable=False),
        schema=schema,
    )


def _outcome_columns(answer_types: Mapping[str, str]) -> list[Column[Any]]:
    return [
        Column("status", TEXT, nullable=False),
        Column("reason", TEXT),
        Column("run_id", TEXT),
        Column("asked_at", Timestamp),
        Column("answered_at", Timestamp),
        Column("response_code", TEXT),
        Column("error_message", TEXT),
        *(Column(name, TYPES[python_type]) for name, python_type in answer_types.items()),
    ]


def split_name(name: str) -> tuple[str | None, str]:
    """Split ``schema.table``."""
    schema, _, table = name.rpartition(".")
    return schema or None, table


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a connection to read from; a database error comes out without a number in it."""
    with _masked(), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that is committed at the end; a database error comes out without a number in it."""
    with _masked(), engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            # Wait for other writers now: a transaction that read first could not wait later.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


def clock(connection: Connection) -> datetime:
    """Tell the time by the database's clock, so that the clocks of workers don't matter.

    SQLite has none of its own, and its users share a machine; of other databases none is known.
    """
    read = _CLOCKS.get(connection.dialect.name)
    if read is None:
        return datetime.now(UTC)
    now: datetime = connection.execute(select(literal_column(read, Timestamp))).scalar_one()
    return now.astimezone(UTC)


@contextmanager
def _masked() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        # Drivers quote the offending values, and these are phone numbers.
        raise FilingError(
            f"The database refused: {mask_text(str(error))}",
            temporary=isinstance(error, (InterfaceError, OperationalError, DBAPITimeoutError))
            or getattr(error, "connection_invalidated", False),
        ) from None


def ensure(engine: Engine, table: Table) -> set[str]:
    """Create a table of ours if it is missing, and check the columns of one that is there.

    :return: the names of all its columns.
    :raises ConfigurationError: with the DDL, if it may not be created or lacks columns.
    """
    if not _is_there(engine, table):
        ddl = str(CreateTable(table).compile(engine)).strip()
        try:
            with engine.begin() as connection:
                table.create(connection)
                log.info("Created table %s", table.fullname)
        except SQLAlchemyError as error:
            # Another task may have created it meanwhile.
            if not _is_there(engine, table):
                why = type(getattr(error, "orig", error)).__name__
                raise ConfigurationError(
                    f"Table {table.fullname} is missing and could not be created ({why}). "
                    f"Ask your database administrator to run:\n{ddl};"
                ) from None
    there = column_names(engine, table)
    missing = [column for column in table.columns if column.name not in there]
    if missing:
        quote = engine.dialect.identifier_preparer.quote
        name = engine.dialect.identifier_preparer.format_table(table)
        ddl = "\n".join(
            f"ALTER TABLE {name} ADD COLUMN {quote(column.name)} {column.type.compile(engine.dialect)};"
            for column in missing
        )
        raise ConfigurationError(
            f"Table {table.fullname} lacks columns that outcomes are filed in: name another table, "
            f"or run:\n{ddl}"
        )
    return there


def column_names(engine: Engine, table: Table) -> set[str]:
    """Give the names of the columns that a table has in the database."""
    return {column["name"] for column in inspect(engine).get_columns(table.name, schema=table.schema)}


def _is_there(engine: Engine, table: Table) -> bool:
    try:
        return inspect(engine).has_table(table.name, schema=table.schema)
    except DBAPIError as error:
        # MySQL may not tell a user without rights to a table that there is none.
        if error.orig is not None and error.orig.args[:1] == (_MYSQL_DENIED,):
            return False
        raise


def in_lock_order(
    rows: Collection[Mapping[str, Any]], key: str, kind: Kind
) -> Iterator[tuple[frozenset[str], list[Mapping[str, Any]]]]:
    """Sort outcomes by their key and yield them in groups, with the columns that each leaves as they are.

    Rows are locked in one order everywhere, so that two tasks cannot lock each other out.
    """
    kept = {status: kind.kept(status) for status in {row["status"] for row in rows}}
    for columns, group in groupby(sorted(rows, key=itemgetter(key)), lambda row: kept[row["status"]]):
        yield columns, list(group)
