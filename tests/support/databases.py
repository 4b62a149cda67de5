"""Databases for tests, as Airflow connections and as SQLAlchemy engines."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import OperationalError


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
def mariadb_server(folder: Path) -> Iterator[URL]:
    """Run a MariaDB of our own; skip where none is installed."""
    if shutil.which("mariadbd") is None or find_spec("airflow.providers.mysql") is None:
        pytest.skip("not tested on MySQL or MariaDB: needs mariadb-server and this package's extra mysql")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    user = pwd.getpwuid(os.getuid()).pw_name
    common = ["--no-defaults", f"--datadir={folder}/data", f"--user={user}"]
    subprocess.run(
        ["mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True,
        capture_output=True,
    )
    quick = ["--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"]
    address = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/socket"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(["mariadbd", *common, *address, *quick], stdout=log, stderr=log)
    url = URL.create("mysql", "root", host="127.0.0.1", port=port)
    try:
        _await(url, server)
        yield url
    finally:
        server.terminate()
        server.wait(60)


def _await(url: URL, server: subprocess.Popen[bytes]) -> None:
    engine = create_engine(url)
    for _ in range(600):
        assert server.poll() is None, "MariaDB has ended"
        try:
            engine.connect().close()
        except OperationalError:
            time.sleep(0.1)
        else:
            break
    engine.dispose()


@contextmanager
def mysql(server: URL, name: str) -> Iterator[Database]:
    admin = create_engine(server, isolation_level="AUTOCOMMIT", future=True)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4"))
        connection.execute(text(f"CREATE USER {name}"))
        connection.execute(text(f"GRANT ALL ON *.* TO {name}"))
    # Quotes as the other databases have them.
    options = {"charset": "utf8mb4", "init_command": "SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')"}
    engine = create_engine(server.set(database=name), future=True, connect_args=options)
    connection_json = json.dumps(
        {"conn_type": "mysql", "host": server.host, "port": server.port, "login": name, "schema": name}
    )
    yield Database("mysql", engine, connection_json)
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))
        connection.execute(text(f"DROP USER {name}"))
    admin.dispose()


@contextmanager
def sqlite(path: Path) -> Iterator[Database]:
    engine = create_engine(f"sqlite:///{path}", future=True)
    yield Database("sqlite", engine, json.dumps({"conn_type": "sqlite", "host": str(path)}))
    engine.dispose()


def forget_on_power_loss(server: str) -> None:
    """Let a PostgreSQL server not wait for disks: a killed process loses nothing by it."""
    admin = create_engine(
        make_url(server).set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT", future=True
    )
    with admin.connect() as connection:
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    admin.dispose()


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
