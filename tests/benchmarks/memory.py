"""How the memory of a run grows with its input: a million rows against ten thousand."""

from __future__ import annotations

import os
from functools import partial

from tests.benchmarks.databases import databases, drop_results, fill
from tests.benchmarks.enrichment import operator, valid_numbers
from tests.benchmarks.measure import fresh, service, table

ROWS = 1_000_000
FEW = 10_000


def main() -> None:
    wanted = int(os.environ.get("ROWS", ROWS))
    many = valid_numbers(wanted)
    inputs = {"table": {"source_table": "contacts"}, "query": {"sql": "SELECT phone FROM contacts"}}
    rows = []
    with databases() as found, service() as at:
        for database in found:
            for name, parameters in inputs.items():
                peaks = []
                for count in (FEW, wanted):
                    at.reset()
                    fill(database, many[:count])
                    drop_results(database)
                    measured = fresh(partial(operator, **parameters), at, database.airflow_connection)
                    assert measured.value["ok"] == count, measured.value
                    peaks.append(measured.peak)
                rows.append([f"{database.name}, {name}", *peaks, peaks[1] - peaks[0], wanted / measured.wall])
    head = ["", f"{FEW:,} rows, peak MB", f"{wanted:,} rows, peak MB", "MB more", "numbers/s"]
    table("Memory of a run, without latency", head, rows)
