"""Erasing people: their numbers from the ledgers, and from result tables in every spelling."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Table, and_, inspect, or_, select
from sqlalchemy.engine import Connection, Engine

from airflow_provider_kaleyra.enrichment.kinds import NUMBER, OUTCOME_COLUMNS, RCS
from airflow_provider_kaleyra.enrichment.ledger import LEASE, PENDING, REQUESTED
from airflow_provider_kaleyra.enrichment.plan import Reading, raw_key
from airflow_provider_kaleyra.enrichment.tables import (
    clock,
    column_names,
    ledger_table,
    reading,
    result_table,
    split_name,
    writing,
)
from airflow_provider_kaleyra.enrichment.upsert import is_one_of, parts
from airflow_provider_kaleyra.errors import ConfigurationError
from airflow_provider_kaleyra.phone import PhoneNumber, mask

PAGE = 5_000


@dataclass
class Erased:
    """How many rows were erased, by table and by what they were erased for."""

    tables: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    numbered: int = 0
    """Of rows that were erased by their text, those that stood for a number, which the ledgers keep."""


class Eraser:
    """The tables of one database that numbers are erased from, in one transaction.

    :param tables: result tables, ``schema.table`` if need be.
    :param schema: where the ledgers, and tables named without one, are, if not in the connection's own.
    :raises ConfigurationError: if a table is missing or is no result table, or nothing is there at all.
    """

    def __init__(self, engine: Engine, tables: Sequence[str], schema: str | None = None) -> None:
        self._engine = engine
        names = [name if "." in name or schema is None else f"{schema}.{name}" for name in tables]
        self._results = [self._result(name) for name in dict.fromkeys(names)]
        schemas = dict.fromkeys(split_name(name)[0] for name in names)
        if schema or not names:
            schemas[schema] = None
        ledgers = [ledger_table(kind, each) for each in schemas for kind in (RCS, NUMBER)]
        self._ledgers = [ledger for ledger in ledgers if self._has(ledger)]
        if not self._results and not self._ledgers:
            raise ConfigurationError(
                f"There is no ledger in this database{f' in schema {schema}' if schema else ''}, and no "
                "result table is named"
            )

    def erase(self, numbers: Collection[str], read: Reading, *, force: bool = False) -> Erased:
        """Erase E.164 numbers from ledgers and result tables.

        :param read: how else texts of result tables may be read than they were when they were filed.
        :param force: also where a number is on its way, and may come back.
        :raises ConfigurationError: if a number is on its way; then nothing is erased.
        """
        found = [(table, self._spelled(table, set(numbers), read)) for table in self._results]
        erased = Erased()
        with writing(self._engine) as connection:
            if not force and (on_its_way := sorted(self._on_their_way(connection, numbers))):
                raise ConfigurationError(
                    f"{', '.join(map(mask, on_its_way))}: on its way, and its answer would be filed again. "
                    "Nothing was erased. Let the run or the sensor end that asks about it, or say --force"
                )
            for ledger in self._ledgers:
                column = ledger.c.phone_number
                for part in parts(list(numbers)):
                    these = is_one_of(connection, column, part)
                    erased.rows.update(connection.execute(select(column).where(these)).scalars())
                    erased.tables[ledger.fullname] += connection.execute(
                        ledger.delete().where(these)
                    ).rowcount
            for table, rows in found:
                erased.tables[table.fullname] += _delete(connection, table, rows)
                erased.rows.update(rows.values())
        return erased

    def erase_texts(self, texts: Collection[str]) -> Erased:
        """Erase the rows of result tables that have exactly these texts as their ``raw_number``."""
        wanted = {raw_key(text): text for text in texts}
        erased = Erased()
        with writing(self._engine) as connection:
            for table in self._results:
                found: dict[str, str | None] = {}
                for part in parts(list(wanted)):
                    rows = select(table.c.raw_number, table.c.phone_number)
                    these = is_one_of(connection, table.c.raw_number, part)
                    found.update((row[0], row[1]) for row in connection.execute(rows.where(these)))
                erased.tables[table.fullname] += _delete(connection, table, found)
                erased.rows.update(wanted[raw] for raw in found)
                erased.numbered += sum(number is not None for number in found.values())
        return erased

    def _has(self, table: Table) -> bool:
        return inspect(self._engine).has_table(table.name, schema=table.schema)

    def _result(self, name: str) -> Table:
        table = result_table(NUMBER, name)
        if not self._has(table):
            raise ConfigurationError(
                f"There is no table {name}: name a result table, schema.table if need be"
            )
        there = column_names(self._engine, table)
        if not {"raw_number", "phone_number", *OUTCOME_COLUMNS} <= there:
            raise ConfigurationError(f"{name} is no result table: nothing is erased from it")
        return table

    def _spelled(self, table: Table, wanted: set[str], read: Reading) -> dict[str, str]:
        """Find texts that stand for a number, or that can be read as it whatever they were filed as."""
        found = {}
        for raw, number in self._rows(table):
            if number in wanted:
                found[raw] = number
            elif raw != number and isinstance(other := read(raw), PhoneNumber) and other.e164 in wanted:
                found[raw] = other.e164
        return found

    def _rows(self, table: Table) -> Iterator[tuple[str, str | None]]:
        key = table.c.raw_number
        page = select(key, table.c.phone_number).order_by(key).limit(PAGE)
        last = None
        while True:
            with reading(self._engine) as connection:
                rows = connection.execute(page if last is None else page.where(key > last)).fetchall()
            yield from ((row[0], row[1]) for row in rows)
            if len(rows) < PAGE:
                return
            last = rows[-1][0]

    def _on_their_way(self, connection: Connection, numbers: Collection[str]) -> set[str]:
        alive = clock(connection) - LEASE
        found: set[str] = set()
        for ledger in self._ledgers:
            rows = ledger.c
            claimed = and_(rows.status == REQUESTED, rows.asked_at > alive)
            open_rows = select(rows.phone_number).where(or_(rows.status == PENDING, claimed))
            for part in parts(list(numbers)):
                these = is_one_of(connection, rows.phone_number, part)
                found.update(connection.execute(open_rows.where(these).with_for_update()).scalars())
        return found


def _delete(connection: Connection, table: Table, rows: Mapping[str, object]) -> int:
    erased = 0
    # In the order in which runs lock them.
    for part in parts(sorted(rows)):
        these = is_one_of(connection, table.c.raw_number, part)
        erased += connection.execute(table.delete().where(these)).rowcount
    return erased


def unfiled(folder: Path, wanted: Collection[str]) -> list[Path]:
    """Give the files of answers that no database took and that hold one of these numbers or texts."""
    written = [json.dumps(text) for text in wanted]
    files = ((path, path.read_text(encoding="utf-8")) for path in sorted(folder.glob("unfiled-*.jsonl")))
    return [path for path, held in files if any(text in held for text in written)]
