"""Whatever dies, whenever: nothing that was paid for is lost, nothing is bought twice unseen."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kaleyra.sandbox import Sandbox
from tests.crash.worker import Try
from tests.support.databases import Database
from tests.support.laws import Aftermath
from tests.support.numbers import numbers, spelled

PHONES = numbers(60)
LEDGER = "kaleyra_number_ledger"
PARAMETERS: dict[str, Any] = {
    "sql_conn_id": "warehouse",
    "source_table": "contacts",
    "number_column": "phone",
    "result_table": "filed",
    "batch_size": 4,
    "max_workers": 3,
    "max_failed": 1,
}


@pytest.fixture(autouse=True)
def _latency(sandbox: Sandbox) -> Iterator[None]:
    sandbox.settings.latency_ms = 4
    yield
    sandbox.settings.latency_ms = 0


def empty(database: Database) -> None:
    for table in ("filed", LEDGER):
        database.execute(f"DELETE FROM {table}")


@pytest.mark.parametrize("in_doubt", ["hold", "rebuy"])
def test_a_task_killed_at_any_moment_loses_nothing_and_its_retry_buys_only_what_it_may(
    in_doubt: str, sandbox: Sandbox, database: Database, tmp_path: Path
) -> None:
    spellings = [*PHONES, *(spelled(number) for number in PHONES[::10]), "nonsense"]
    database.contacts(spellings)
    parameters = {**PARAMETERS, "in_doubt": in_doubt}
    whole = Try(tmp_path, "number", "dag", parameters).end()
    assert whole is not None
    assert whole["error"] is None
    moments = random.Random(f"{database.name}{in_doubt}").sample(range(1, whole["moments"]), 40)
    killed = 0

    for fatal in moments:
        sandbox.reset()
        empty(database)
        if Try(tmp_path, "number", "dag", parameters, fatal).end() is None:
            killed += 1
        before = {row["phone_number"]: row for row in database.rows(f"SELECT * FROM {LEDGER}")}

        retried = Try(tmp_path, "number", "dag", parameters).end()

        bought = sandbox.account.purchases["number"]
        after = {row["phone_number"]: row for row in database.rows(f"SELECT * FROM {LEDGER}")}
        filed = database.rows("SELECT * FROM filed")
        assert retried is not None
        assert retried["error"] is None
        left = Aftermath(in_doubt, bought, before, after, filed, sandbox.settings.price)
        left.obeys_the_laws(PHONES, spellings)

    assert killed >= 36


def test_four_processes_on_one_table_buy_each_number_once(
    sandbox: Sandbox, database: Database, tmp_path: Path
) -> None:
    phones = numbers(20_000)
    database.contacts([*phones, *(spelled(number) for number in phones[::10])])
    parameters = {**PARAMETERS, "batch_size": 100, "max_workers": 4}

    tries = [Try(tmp_path, "number", f"dag{n}", parameters) for n in range(4)]
    reports = [one.end() for one in tries]
    last = Try(tmp_path, "number", "last", parameters).end()

    bought = sandbox.account.purchases["number"]
    assert set(bought) == set(phones)
    assert set(bought.values()) == {1}
    assert all(report is not None and report["error"] is None for report in reports)
    assert sum(report["summary"]["asked"] for report in reports if report) == len(phones)
    assert last is not None
    assert last["summary"]["asked"] == 0
    assert database.rows("SELECT count(*) AS n FROM filed WHERE status = 'ok'") == [{"n": 22_000}]
