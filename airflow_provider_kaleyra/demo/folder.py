"""The demo's folder: contacts, a log, and an Airflow home that has nothing to do with the user's own."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
DAG_FILE = "enrich_contacts.py"
MARKER = ".kaleyra-demo"

CONTACTS = """
CREATE TABLE contacts (
    id INTEGER PRIMARY KEY,
    first_name TEXT,
    last_name TEXT,
    company TEXT,
    city TEXT,
    country TEXT,
    phone TEXT,
    updated_at TIMESTAMP,
    phone_e164 TEXT,
    phone_problem TEXT,
    rcs_enabled BOOLEAN,
    rcs_checked_at TIMESTAMP,
    carrier TEXT,
    carrier_country TEXT,
    ported BOOLEAN
)
"""


class FolderError(Exception):
    """The folder cannot be used."""


@dataclass(frozen=True)
class Folder:
    """Paths in the demo's folder, and what is put there."""

    root: Path

    @property
    def database(self) -> Path:
        """The user's database."""
        return self.root / "contacts.db"

    @property
    def log(self) -> Path:
        """All that Airflow said in the last run."""
        return self.root / "demo.log"

    @property
    def report(self) -> Path:
        """What became of the last run's tasks."""
        return self.root / "run.json"

    @property
    def airflow_home(self) -> Path:
        """Airflow's home, with its metadata database."""
        return self.root / "airflow"

    @property
    def dag(self) -> Path:
        """A copy of the example DAG, in a DAGs folder of its own."""
        return self.root / "dags" / DAG_FILE

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Keep other runs out of the folder, and make it if it is missing.

        :raises FolderError: if another run is in it, or something that is not the demo's.
        """
        if self.root.exists() and not self.root.is_dir():
            raise FolderError(f"{self.root} is no folder")
        marker = self.root / MARKER
        if self.root.is_dir() and any(self.root.iterdir()) and not marker.exists():
            raise FolderError(f"{self.root} holds files that are not the demo's: choose another --folder")
        self.root.mkdir(parents=True, exist_ok=True)
        with marker.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderError(f"Another run is at work in {self.root}") from None
            yield

    def prepare(self, *, fresh: bool) -> int:
        """Make what is missing; with ``fresh``, everything anew.

        :return: how many contacts were loaded; 0 if they were there.
        """
        if fresh:
            self._clear()
        self.dag.parent.mkdir(exist_ok=True)
        shutil.copyfile(_example_dag(), self.dag)
        self.report.unlink(missing_ok=True)
        return self._load_contacts()

    def environment(self, kaleyra: str) -> dict[str, str]:
        """Give the environment for Airflow: its settings and connections, and none of the user's own.

        :param kaleyra: the connection to Kaleyra.
        """
        others = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        return {
            **others,
            "AIRFLOW_HOME": str(self.airflow_home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dag.parent),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW_CONN_KALEYRA_DEFAULT": kaleyra,
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(self.database)}),
        }

    def _clear(self) -> None:
        for folder in (self.airflow_home, self.dag.parent):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (*self.root.glob(f"{self.database.name}*"), self.log, self.report):
            file.unlink(missing_ok=True)

    def _load_contacts(self) -> int:
        with closing(sqlite3.connect(self.database)) as database, database:
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'contacts'").fetchone():
                return 0
            with (PACKAGE / "demo" / "contacts.csv").open(encoding="utf-8", newline="") as file:
                names, *rows = csv.reader(file)
            places = ", ".join("?" * len(names))
            database.execute("BEGIN")
            database.execute(CONTACTS)
            database.executemany(
                f"INSERT INTO contacts ({', '.join(names)}) VALUES ({places})",  # noqa: S608
                rows,
            )
            return len(rows)


def _example_dag() -> Path:
    """Find the example DAG: inside an installed package, beside that of a checkout."""
    for parent in (PACKAGE, PACKAGE.parent):
        if (found := parent / "example_dags" / DAG_FILE).is_file():
            return found
    raise FolderError(f"The example DAG {DAG_FILE} is not part of this installation")
