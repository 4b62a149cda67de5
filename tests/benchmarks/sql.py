"""Claim and settle, batch by batch as in a run, against the quickest upsert of the same rows."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy.engine import Connection, Engine

from tests.benchmarks.databases import databases, drop_results
from tests.benchmarks.measure import Work, fresh, table

OUTCOMES = 1_000_000
CLAIMED_AT_ONCE = 8 * 500
"""A run claims and settles what leaves and comes back together: eight bulks in flight."""
MANY_AT_ONCE = 5_000


def engine() -> Engine:
    from airflow_provider_kaleyra.enrichment.database import engine_of

    return engine_of("warehouse")


def prepare(connection: str) -> None:
    os.environ["AIRFLOW_CONN_WAREHOUSE"] = connection
    os.environ["AIRFLOW_HOME"] = tempfile.gettempdir()


def claim_and_settle(connection: str, wanted: int) -> Work:
    """What a run does about each batch before and after its request."""
    prepare(connection)
    from airflow_provider_kaleyra.api.models import DeviceLookup
    from airflow_provider_kaleyra.enrichment.kinds import RCS
    from airflow_provider_kaleyra.enrichment.ledger import Ledger
    from airflow_provider_kaleyra.enrichment.memory import Run, Settled
    from airflow_provider_kaleyra.enrichment.plan import Input
    from airflow_provider_kaleyra.enrichment.results import TableOutput

    run = Run("dag/task/run")
    output = TableOutput(engine(), RCS, "filed")
    ledger = Ledger(engine(), RCS, run)

    def work() -> int:
        filed = 0
        for batch in batches(wanted, CLAIMED_AT_ONCE):
            with ledger.writing() as writing:
                claims = ledger.claim(writing, batch)
            # All that comes back together was answered at one moment, as in a run.
            now = claims[0].now()
            settled = [
                Settled.of(
                    claim,
                    DeviceLookup(
                        phone_number=claim.phone_number,
                        response_code="RCS702",
                        rcs_enabled=True,
                        carrier_id="310260",
                        carrier_status="active",
                    ),
                    RCS,
                    run,
                    now,
                )
                for claim in claims
            ]
            with ledger.writing() as writing:
                ledger.settle(writing, settled)
                output.file(
                    writing, [(Input(0, item.outcome["phone_number"]), item.outcome) for item in settled]
                )
            filed += len(settled)
        return filed

    return work


def quickest(connection: str, wanted: int) -> Work:
    """The same rows of ledger and result table, by the quickest way that Python has into the database."""
    prepare(connection)
    from airflow_provider_kaleyra.enrichment.kinds import RCS
    from airflow_provider_kaleyra.enrichment.tables import ensure, ledger_table, result_table

    made = engine()
    ledger, filed = ledger_table(RCS, None), result_table(RCS, "filed")
    for each in (ledger, filed):
        ensure(made, each)
    upsert = {"sqlite": executemany, "postgresql": copy, "mysql": executemany}[made.dialect.name]
    then = time.strftime("%Y-%m-%d %H:%M:%S.000000", time.gmtime())
    outcome = ("ok", None, "dag/task/run", then, then, "RCS702", None, 1, "310260", "active")

    def work() -> int:
        count = 0
        with made.connect() as opened:
            for batch in batches(wanted, MANY_AT_ONCE):
                upsert(opened, ledger.name, [c.name for c in ledger.c], [(n, *outcome, 1, 0) for n in batch])
                upsert(opened, filed.name, [c.name for c in filed.c], [(n, n, *outcome) for n in batch])
                opened.connection.commit()
                count += len(batch)
        return count

    return work


def executemany(connection: Connection, table: str, names: list[str], rows: list[Any]) -> None:
    sqlite = connection.dialect.name == "sqlite"
    sign = "?" if sqlite else "%s"
    conflict = f"ON CONFLICT ({names[0]}) DO UPDATE SET" if sqlite else "ON DUPLICATE KEY UPDATE"
    new = "{0} = excluded.{0}" if sqlite else "{0} = VALUES({0})"
    statement = (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join([sign] * len(names))}) "
        f"{conflict} {', '.join(new.format(name) for name in names[1:])}"
    )
    cursor = connection.connection.cursor()
    cursor.executemany(statement, rows)
    cursor.close()


def copy(connection: Connection, table: str, names: list[str], rows: list[Any]) -> None:
    lines = io.StringIO(
        "".join("\t".join("\\N" if cell is None else str(cell) for cell in row) + "\n" for row in rows)
    )
    new = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    columns = ", ".join(names)
    with connection.connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE coming (LIKE {table}) ON COMMIT DROP")
        if hasattr(cursor, "copy_expert"):
            cursor.copy_expert(f"COPY coming ({columns}) FROM STDIN", lines)
        else:
            with cursor.copy(f"COPY coming ({columns}) FROM STDIN") as coming:
                coming.write(lines.read())
        cursor.execute(
            f"INSERT INTO {table} ({columns}) SELECT {columns} FROM coming "
            f"ON CONFLICT ({names[0]}) DO UPDATE SET {new}"
        )
        cursor.execute("DROP TABLE coming")


def batches(wanted: int, size: int) -> Iterator[list[str]]:
    """Numbers in no order, as a table has them; each once."""
    for start in range(0, wanted, size):
        # A prime that does not divide 10^9 goes through all of it.
        yield [f"+999{n * 7_654_321 % 10**9:09d}" for n in range(start, min(start + size, wanted))]


def main() -> None:
    wanted = int(os.environ.get("OUTCOMES", OUTCOMES))
    rows = []
    with databases() as found:
        for database in found:
            walls = {}
            works: list[Callable[[str, int], Work]] = [quickest, claim_and_settle]
            for work in works:
                drop_results(database)
                measured = fresh(work, database.airflow_connection, wanted)
                assert measured.value == wanted
                walls[work.__name__] = measured.wall
            rows.append(
                [
                    database.name,
                    wanted / walls["quickest"],
                    wanted / walls["claim_and_settle"],
                    f"{walls['claim_and_settle'] / walls['quickest']:.2f}",
                ]
            )
    head = ["", "quickest upsert, outcomes/s", "claim and settle, outcomes/s", "times as long"]
    table(f"{wanted:,} outcomes into ledger and result table", head, rows)
