"""An operator from a table to a result table, against aiohttp that only asks and forgets the answers."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from itertools import count, islice
from types import SimpleNamespace
from typing import Any

from airflow_provider_kaleyra.phone import PhoneNumber, read
from airflow_provider_kaleyra.sandbox import subscriber
from tests.benchmarks.databases import databases, drop_results, fill, warehouse
from tests.benchmarks.http import LATENCY_MS, aiohttp_workers, airflow_hook
from tests.benchmarks.measure import Measured, Service, Work, fresh, ratio, rounds, service, table
from tests.support.databases import Database

ROUNDS = 3
ASKED = 100_000
WORKERS = 8


def valid_numbers(wanted: int) -> list[str]:
    """E.164 numbers that are valid in Germany, each with a subscriber in the sandbox."""
    every = (f"+4915{n:09d}" for n in count(100_000_000))
    known = (n for n in every if isinstance(read(n), PhoneNumber) and subscriber(n).assigned)
    return list(islice(known, wanted))


def operator(at: Service, connection: str, **parameters: Any) -> Work:
    """Execute the operator as a task would, without Airflow around it."""
    os.environ["AIRFLOW_CONN_WAREHOUSE"] = connection
    os.environ["AIRFLOW_HOME"] = tempfile.gettempdir()
    airflow_hook(at)
    import airflow_provider_kaleyra.api.client
    import airflow_provider_kaleyra.enrichment.assemble  # noqa: F401
    from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator

    task = RcsCapabilityOperator(
        task_id="task",
        sql_conn_id="warehouse",
        result_table="filed",
        number_column="phone",
        max_workers=WORKERS,
        **parameters,
    )
    ti = SimpleNamespace(
        dag_id="dag", task_id="task", run_id="run", map_index=-1, xcom_push=lambda key, value: None
    )
    return lambda: task.execute({"ti": ti, "outlet_events": {}, "task": task})


def enrich(at: Service, database: Database, many: list[str]) -> Measured:
    """Measure a run, and see that it asked about every number once and filed what came."""
    at.reset()
    drop_results(database)
    measured = fresh(partial(operator, source_table="contacts"), at, database.airflow_connection)
    (filed,) = database.rows("SELECT count(*) AS rows_ok FROM filed WHERE status = 'ok'")
    bought = at.account("purchases")["purchases"]["rcs"]
    assert filed["rows_ok"] == len(many) == len(bought) == sum(bought.values()), (filed, measured.value)
    return measured


def ask_only(at: Service, many: list[str]) -> Measured:
    at.reset()
    return fresh(aiohttp_workers, at, "bulk", many, WORKERS)


def main() -> None:
    many = valid_numbers(ASKED)
    with databases() as found, service("--latency-ms", str(LATENCY_MS)) as at:
        for database in found:
            fill(database, many)
            warehouse(database)
        runs = {"aiohttp, nothing filed": partial(ask_only, at, many)}
        for database in found:
            runs[f"ours, filed in {database.name}"] = partial(enrich, at, database, many)
        measured = rounds(runs, ROUNDS)
    speeds = {name: [len(many) / run.wall for run in kind] for name, kind in measured.items()}
    theirs = next(iter(speeds.values()))
    table(
        f"{ASKED:,} numbers from a table to a result table, bulk, {LATENCY_MS} ms, {WORKERS} in flight",
        ["", "numbers/s", "this to aiohttp", "CPU s/1,000"],
        [
            [
                name,
                sorted(speeds[name])[ROUNDS // 2],
                f"{ratio(speeds[name], theirs):.2f}",
                min(run.cpu for run in kind) / len(many) * 1000,
            ]
            for name, kind in measured.items()
        ],
    )
