"""Whether a table takes what will be filed in it: tried before anything is bought, and taken back."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from sqlalchemy import Boolean, Column, Integer, Table, func, inspect, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError

from airflow_provider_kaleyra.enrichment.plan import KEY_LENGTH
from airflow_provider_kaleyra.enrichment.tables import MYSQL, Money, Timestamp, writing
from airflow_provider_kaleyra.enrichment.upsert import upsert
from airflow_provider_kaleyra.errors import ConfigurationError
from airflow_provider_kaleyra.phone import mask_text

_MYSQL_WAITED = (1205, 1213)
_MYSQL_RULES = (1062, 1216, 1452, 3819, 4025)
"""A key of the user's, foreign keys, and checks of MySQL and MariaDB."""
_KEEPS_ALL = ("MyISAM", "Aria", "MEMORY")
"""Engines of MySQL and MariaDB that take nothing back."""
_TEXTS = {
    "phone_number": "+999999999999999",
    "status": "in_doubt",
    "reason": "unknown_country_code",
    "run_id": "dag/task/scheduled__2026-01-01T00:00:00+00:00",
    "response_code": "LKP200",
    "error_message": "The request was sent and its answer was lost: no answer within 60 s",
    "lookup_id": f"{uuid4()}:500",
    "country": "US",
    "mcc": "310",
    "mnc": "260",
    "carrier_status": "active",
}
"""Of the lengths that are usual; what is named neither in whole nor by its end is a name."""
_NAME = "Example Telecommunications"


def try_out(engine: Engine, table: Table) -> None:
    """File two example rows twice, as inserts and as updates, and take them back.

    :raises ConfigurationError: with the database's reason, if the table does not take them.
    """
    if engine.dialect.name in MYSQL:
        options = inspect(engine).get_table_options(table.name, schema=table.schema)
        if options.get("mysql_engine") in _KEEPS_ALL:
            return
    (key,) = table.primary_key.columns
    # The first has a value in every column, the second in as few as a row can have.
    rows = [
        {c.name: _value(c) for c in table.c},
        {c.name: None if c.nullable else _value(c) for c in table.c},
    ]
    found = select(func.count()).select_from(table).where(key == rows[0][key.name])
    with writing(engine) as connection:
        try:
            for _ in range(2):
                upsert(connection, table, rows, columns=[name for name in rows[0] if name != key.name])
            if connection.execute(found).scalar_one() != 1:
                raise _unfit(table, f"{key.name} is no key of it, a row of the same text is a second one")
        except DBAPIError as error:
            if _is_of_the_moment(error, engine.dialect.name):
                raise
            if not _is_of_the_values(error, engine.dialect.name):
                raise _unfit(table, mask_text(str(error.orig)).partition("\n")[0][:200]) from None
        connection.rollback()


def _value(column: Column[Any]) -> Any:
    """Give a value of a usual length; of a key, one that no row has."""
    if column.primary_key:
        if column.name == "raw_number":
            return (uuid4().hex * KEY_LENGTH)[:KEY_LENGTH]
        # No country code begins with 0.
        return f"+0{uuid4().int % 10**14:014}"
    if isinstance(column.type, Boolean):
        return True
    if isinstance(column.type, Integer):
        return 999
    if isinstance(column.type, Timestamp):
        return datetime.now(UTC)
    if isinstance(column.type, Money):
        return Decimal("0.0125")
    return _TEXTS.get(column.name) or _TEXTS.get(column.name.rpartition("_")[2], _NAME)


def _is_of_the_moment(error: DBAPIError, dialect: str) -> bool:
    """Tell whether the next try may go better."""
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    if not isinstance(error, OperationalError) or dialect == "sqlite":
        return False
    # MySQL's drivers give this class to what a table does not take, too.
    return dialect not in MYSQL or _mysql_code(error) in _MYSQL_WAITED


def _is_of_the_values(error: DBAPIError, dialect: str) -> bool:
    """Tell whether it is the example that breaks a rule of the user's, such as a foreign key."""
    if dialect in MYSQL:
        return _mysql_code(error) in _MYSQL_RULES
    # The word stands in the message in whatever language it is; lines below it may quote the row.
    said = str(error.orig).partition("\n")[0]
    return isinstance(error, IntegrityError) and "null" not in said.lower()


def _mysql_code(error: DBAPIError) -> object:
    return error.orig.args[0] if error.orig is not None and error.orig.args else None


def _unfit(table: Table, why: str) -> ConfigurationError:
    (key,) = table.primary_key.columns
    is_result = key.name == "raw_number"
    way_out = "Name another, which is made for you, or alter it" if is_result else "Alter it"
    width = f", {KEY_LENGTH} characters wide" if is_result else ""
    return ConfigurationError(
        f"Table {table.fullname} does not take outcomes: {why}. {way_out}: {key.name} must be its primary "
        f"key or unique{width}; columns of your own need a default or must allow NULL; the others must be "
        "of the types that they have where the table is made for you"
    )
