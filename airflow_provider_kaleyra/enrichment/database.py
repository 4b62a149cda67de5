"""An Airflow connection, made into a SQLAlchemy engine."""

from __future__ import annotations

import logging
from typing import Any

from airflow.providers.common.compat.sdk import BaseHook
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine

from airflow_provider_kaleyra.enrichment.tables import MYSQL
from airflow_provider_kaleyra.errors import ConfigurationError

LOGGING_NAME = "kaleyra"


def engine_of(conn_id: str, connection: Any = None) -> Engine:
    """Give the engine of an Airflow connection's own hook.

    :param connection: the connection itself, where it may not be asked for: in a triggerer.
    :raises ConfigurationError: if the connection is of no SQL database.
    """
    if connection is None:
        hook = BaseHook.get_hook(conn_id)
    else:
        hook = connection.get_hook()
        hook.get_connection = lambda _: connection
    if not hasattr(hook, "get_sqlalchemy_engine"):
        raise ConfigurationError(f"Connection {conn_id!r} is of no SQL database: {type(hook).__name__}")
    # An error's text would list the phone numbers of its statement, SQLAlchemy's log at DEBUG every row.
    logging.getLogger(f"sqlalchemy.engine.Engine.{LOGGING_NAME}").setLevel(logging.WARNING)
    options = {
        "future": True,
        "hide_parameters": True,
        "logging_name": LOGGING_NAME,
        "pool_pre_ping": True,
    }
    engine: Engine = hook.get_sqlalchemy_engine(engine_kwargs=options)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _wait_for_other_writers)
    elif engine.dialect.name in MYSQL:
        # What hooks read of a connection's extra, SQLAlchemy's driver takes for a parameter of its own.
        url = engine.url.difference_update_query(["cursor"])
        # As the other databases do it: so that a claim sees what others have committed, and locks no gaps.
        engine = create_engine(url, isolation_level="READ COMMITTED", **options)
        event.listen(engine, "connect", _speak_utf8)
    return engine


def _wait_for_other_writers(connection: Any, record: Any) -> None:  # noqa: ARG001
    connection.execute("PRAGMA busy_timeout = 60000")


def _speak_utf8(connection: Any, record: Any) -> None:  # noqa: ARG001
    # Four bytes a character; the drivers' own default may know three.
    with connection.cursor() as cursor:
        cursor.execute("SET NAMES utf8mb4")
