"""An Airflow connection, made into a SQLAlchemy engine."""

from __future__ import annotations

import logging
from typing import Any

from airflow.providers.common.compat.sdk import BaseHook
from sqlalchemy import event
from sqlalchemy.engine import Engine

from airflow_provider_kaleyra.errors import ConfigurationError

LOGGING_NAME = "kaleyra"


def engine_of(conn_id: str) -> Engine:
    """Give the engine of an Airflow connection's own hook.

    :raises ConfigurationError: if the connection is of no SQL database.
    """
    hook = BaseHook.get_hook(conn_id)
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
    return engine


def _wait_for_other_writers(connection: Any, record: Any) -> None:  # noqa: ARG001
    connection.execute("PRAGMA busy_timeout = 60000")
