"""Databases for tests, as Airflow connections and as SQLAlchemy engines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine, make_url


@dataclass
class Database:
    """A database that a test owns."""

    name: str
    engine: Engine
    airflow_connection: str

    def execute(self, sql: str, rows: Sequence[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(sql), rows or {})

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(text(sql), parameters)]

    def contacts(self, phones: Sequence[object], table: str = "contacts", kind: str = "TEXT") -> None:
        """Make a table of contacts with a key, a phone and two columns of the user's own."""
        self.execute(
            f"CREATE TABLE {table} "
            f"(id INTEGER PRIMARY KEY, phone {kind}, rcs BOOLEAN, carrier TEXT, note TEXT)"
        )
        if phones:
            self.execute(
                f"INSERT INTO {table} (id, phone, note) VALUES (:id, :phone, 'mine')",
                [{"id": n, "phone": phone} for n, phone in enumerate(phones, 1)],
            )


@contextmanager
def sqlite(path: Path) -> Iterator[Database]:
    engine = create_engine(f"sqlite:///{path}", future=True)
    yield Database("sqlite", engine, json.dumps({"conn_type": "sqlite", "host": str(path)}))
    engine.dispose()


@contextmanager
def postgres(server: str, name: str) -> Iterator[Database]:
    url = make_url(server).set(drivername="postgresql+psycopg2")
    admin = create_engine(url, isolation_level="AUTOCOMMIT", future=True)
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine = create_engine(url.set(database=name), future=True)
    connection_json = json.dumps(
        {
            "conn_type": "postgres",
            "host": str(url.query["host"]),
            "login": url.username,
            "schema": name,
        }
    )
    yield Database("postgres", engine, connection_json)
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    admin.dispose()
