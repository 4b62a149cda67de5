"""A scratch database without a name, on local disk, for what must not be held in memory."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator


class Scratch:
    """Keeps a query's numbers in order and counts distinct ones.

    SQLite keeps such a database in a file that it unlinks at once: nobody else can open it, and it goes
    with the process.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA cache_size = -2000;"
            "CREATE TABLE spool (position INTEGER PRIMARY KEY, raw TEXT NOT NULL);"
            "CREATE TABLE seen (number INTEGER PRIMARY KEY);"
        )

    def spool(self, texts: Iterable[str]) -> None:
        """Append texts."""
        self._database.execute("BEGIN")
        self._database.executemany("INSERT INTO spool (raw) VALUES (?)", ((text,) for text in texts))
        self._database.execute("COMMIT")

    @property
    def spooled(self) -> int:
        """How many texts there are."""
        (count,) = self._database.execute("SELECT count(*) FROM spool").fetchone()
        return int(count)

    def chunks(self, size: int) -> Iterator[list[tuple[int, str]]]:
        """Yield what was spooled, with its position from 0, ``size`` at a time."""
        last = 0
        while rows := self._database.execute(
            "SELECT position, raw FROM spool WHERE position > ? ORDER BY position LIMIT ?", (last, size)
        ).fetchall():
            yield [(position - 1, raw) for position, raw in rows]
            last = rows[-1][0]

    def count(self, numbers: Iterable[str]) -> int:
        """Count E.164 numbers, and tell how many were not counted before."""
        before = self._database.total_changes
        self._database.execute(
            "INSERT OR IGNORE INTO seen SELECT CAST(value AS INTEGER) FROM json_each(?)",
            [json.dumps(list(numbers))],
        )
        return self._database.total_changes - before
