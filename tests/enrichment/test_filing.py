"""Writing to a database that others write to as well."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest

from airflow_provider_kaleyra.enrichment.database import engine_of
from airflow_provider_kaleyra.enrichment.filing import Filing
from airflow_provider_kaleyra.enrichment.kinds import NUMBER
from airflow_provider_kaleyra.enrichment.ledger import Ledger
from airflow_provider_kaleyra.enrichment.memory import Run
from airflow_provider_kaleyra.enrichment.results import ListOutput
from tests.support.databases import Database


# SQLite lets one write at a time, and knows no such thing.
@pytest.mark.parametrize("database", ["postgres", "mysql"], indirect=True)
def test_of_two_tasks_that_lock_each_other_out_one_tries_again(database: Database) -> None:
    ledger = Ledger(engine_of("warehouse"), NUMBER, Run("dag/task/run"))
    with ledger.writing() as connection:
        ledger.claim(connection, ["+14155550100", "+14155550101"])
    both_hold_one = Barrier(2)

    def lock(connection: Any, number: str) -> None:
        row = ledger.table.c.phone_number == number
        connection.execute(ledger.table.update().where(row).values(purchases=ledger.table.c.purchases + 1))

    def meet(_: Any) -> None:
        try:
            both_hold_one.wait(10)
        except BrokenBarrierError:
            # The second try comes when the other has gone on.
            return
        both_hold_one.abort()

    def write(first: str, second: str) -> None:
        Filing(ledger, ListOutput(NUMBER), None).commit(
            lambda connection: lock(connection, first), meet, lambda connection: lock(connection, second)
        )

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(write, "+14155550100", "+14155550101")
        other = pool.submit(write, "+14155550101", "+14155550100")
        one.result(60)
        other.result(60)

    rows = database.rows("SELECT purchases FROM kaleyra_number_ledger")
    assert [row["purchases"] for row in rows] == [3, 3]
