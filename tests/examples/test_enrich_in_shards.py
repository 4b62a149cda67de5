"""Eight tasks share a table out. `tests/live` runs the same file under the CeleryExecutor."""

from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_kaleyra.demo.folder import CONTACTS
from airflow_provider_kaleyra.sandbox import Sandbox
from tests.support.databases import Database
from tests.support.examples import run_example
from tests.support.numbers import numbers, spelled

FORTY = numbers(40)
PHONES = [*FORTY, *(spelled(number) for number in FORTY[:10]), "n/a"]


@pytest.fixture
def contacts(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", database.airflow_connection)
    database.execute(CONTACTS)
    rows = [{"id": n, "phone": phone} for n, phone in enumerate(PHONES)]
    database.execute("INSERT INTO contacts (id, phone) VALUES (:id, :phone)", rows)
    return database


def test_every_text_is_filed_once_by_one_shard_and_every_number_bought_once(
    sandbox: Sandbox, contacts: Database
) -> None:
    ran = run_example("enrich_in_shards")

    assert len(ran) == 16
    for task, table in (("rcs", "contacts_rcs"), ("numbers", "contacts_numbers")):
        shares = [ran[f"{task}/{n}"].summary or {} for n in range(8)]
        assert sum(share["inputs"] for share in shares) == len(PHONES)
        assert sum(share["asked"] for share in shares) == len(FORTY)
        assert min(share["inputs"] for share in shares) > 0
        filed = contacts.rows(f"SELECT raw_number, status FROM {table}")
        assert Counter(row["raw_number"] for row in filed) == Counter(PHONES)
        assert Counter(row["status"] for row in filed) == {"ok": 50, "invalid": 1}
    assert set(sandbox.account.purchases) == {"rcs", "number"}
    for bought in sandbox.account.purchases.values():
        assert bought == Counter(FORTY)


def test_a_second_run_buys_nothing(sandbox: Sandbox, contacts: Database) -> None:
    run_example("enrich_in_shards")
    bought = sandbox.account.purchases

    run_example("enrich_in_shards")

    assert sandbox.account.purchases == bought
