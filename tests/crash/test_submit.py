"""Whatever dies between submitting and filing: ids that are filed are asked about, never bought again."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kaleyra.sandbox import Sandbox
from tests.crash.worker import Try
from tests.support.databases import Database
from tests.support.laws import Aftermath
from tests.support.numbers import numbers, spelled

PHONES = numbers(40)
LEDGER = "kaleyra_number_ledger"
PARAMETERS: dict[str, Any] = {
    "sql_conn_id": "warehouse",
    "source_table": "contacts",
    "number_column": "phone",
    "result_table": "filed",
    "batch_size": 4,
    "max_workers": 3,
    "max_failed": 1,
    "mode": "submit",
    "wait_for_completion": True,
    "poll_interval": 0.05,
}


@pytest.mark.parametrize("in_doubt", ["hold", "rebuy"])
def test_a_submission_killed_at_any_moment_is_waited_for_by_its_retry(
    in_doubt: str, sandbox: Sandbox, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.settings, "latency_ms", 4)
    monkeypatch.setattr(sandbox.settings, "details_seconds", 0.2)
    spellings = [*PHONES, *(spelled(number) for number in PHONES[::10]), "nonsense"]
    database.contacts(spellings)
    parameters = {**PARAMETERS, "in_doubt": in_doubt}
    whole = Try(tmp_path, "number", "dag", parameters).end()
    assert whole is not None
    assert whole["error"] is None
    moments = random.Random(f"{database.name}{in_doubt}").sample(range(1, whole["moments"]), 8)
    killed = polled = 0

    for fatal in moments:
        sandbox.reset()
        for table in ("filed", LEDGER):
            database.execute(f"DELETE FROM {table}")
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
        for number, row in before.items():
            if row["status"] == "pending":
                polled += 1
                assert bought[number] == 1
                assert (after[number]["status"], after[number]["lookup_id"]) == ("ok", row["lookup_id"])

    # The number of rounds and with it that of moments differs from try to try.
    assert killed >= 4
    assert polled
