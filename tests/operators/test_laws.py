"""The laws of the house, each as what a user would see. The law on the key has its tests with the client."""

from __future__ import annotations

import ast
import inspect
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kaleyra.enrichment.database import engine_of
from airflow_provider_kaleyra.enrichment.kinds import NUMBER
from airflow_provider_kaleyra.enrichment.ledger import Ledger
from airflow_provider_kaleyra.enrichment.memory import Run
from airflow_provider_kaleyra.enrichment.tables import writing
from airflow_provider_kaleyra.operators.base import EnrichmentOperator
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.sandbox import Sandbox
from tests.conftest import kaleyra_connection
from tests.support.airflow_runs import run_task
from tests.support.databases import Database
from tests.support.numbers import numbers, spelled

TEN = numbers(10)
LEDGER = "kaleyra_number_ledger"
FROM_CONTACTS: dict[str, Any] = {
    "sql_conn_id": "warehouse",
    "source_table": "contacts",
    "number_column": "phone",
    "result_table": "filed",
}


@contextmanager
def latency(sandbox: Sandbox, milliseconds: float) -> Iterator[None]:
    sandbox.settings.latency_ms = milliseconds
    try:
        yield
    finally:
        sandbox.settings.latency_ms = 0


def test_law_1_write_before_you_pay(sandbox: Sandbox, database: Database) -> None:
    database.contacts(TEN)
    seen: list[dict[str, Any]] = []

    def look_while_the_request_is_on_its_way() -> None:
        waiting = threading.Event()
        while not sandbox.account.requests:
            waiting.wait(0.005)
        seen.extend(database.rows(f"SELECT phone_number, status, run_id, purchases FROM {LEDGER}"))

    looking = threading.Thread(target=look_while_the_request_is_on_its_way)
    looking.start()
    with latency(sandbox, 500):
        run_task(NumberLookupOperator, **FROM_CONTACTS)
    looking.join()

    assert {row["phone_number"] for row in seen} == set(TEN)
    assert {(row["status"], row["purchases"]) for row in seen} == {("requested", 1)}
    assert all(row["run_id"] for row in seen)


def test_law_2_settle_at_once(sandbox: Sandbox, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered when time is up is filed; only what was in flight is in doubt."""
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", kaleyra_connection(sandbox, timeout=4))
    database.contacts(TEN)
    sandbox.fault("hang", number=TEN[5])

    ran = run_task(
        NumberLookupOperator,
        **FROM_CONTACTS,
        batch_size=1,
        max_workers=2,
        execution_timeout=timedelta(seconds=2),
    )

    assert ran.state == "failed"
    assert database.rows(f"SELECT DISTINCT status FROM {LEDGER} WHERE phone_number <> :n", n=TEN[5]) == [
        {"status": "ok"}
    ]
    assert database.rows("SELECT status FROM filed WHERE phone_number = :n", n=TEN[5]) == [
        {"status": "in_doubt"}
    ]
    assert len(database.rows("SELECT * FROM filed")) == 10
    assert ran.summary is not None
    assert (ran.summary["ok"], ran.summary["in_doubt"]) == (9, 1)


def test_law_3_nobody_buys_twice(sandbox: Sandbox, database: Database) -> None:
    """Of many that want the same numbers at the same time, one gets to ask about each."""
    engine = engine_of("warehouse")
    every = numbers(200)
    ledgers = [Ledger(engine_of("warehouse"), NUMBER, Run(f"dag{n}/task/run")) for n in range(4)]
    claimed: list[str] = []
    together = threading.Barrier(len(ledgers))

    def claim_all(ledger: Ledger) -> None:
        together.wait()
        for start in range(0, len(every), 20):
            with writing(ledger.engine) as connection:
                claims = ledger.claim(connection, every[start : start + 20])
            claimed.extend(claim.phone_number for claim in claims)

    threads = [threading.Thread(target=claim_all, args=[ledger]) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(claimed) == every
    engine.dispose()


def test_law_3_two_spellings_are_one_purchase(sandbox: Sandbox, database: Database) -> None:
    database.contacts([TEN[0], spelled(TEN[0]), f"tel:{TEN[0]}", f"00{TEN[0][1:]}"])

    run_task(NumberLookupOperator, **FROM_CONTACTS)

    assert sandbox.account.purchases["number"] == {TEN[0]: 1}
    assert len(database.rows("SELECT * FROM filed WHERE status = 'ok'")) == 4


def test_law_4_ambiguity_is_a_word_of_its_own(sandbox: Sandbox, database: Database) -> None:
    """Sent and unanswered: in doubt, and nothing sends it again in this run."""
    database.contacts(TEN[:1])
    sandbox.fault("reset")

    run_task(NumberLookupOperator, **FROM_CONTACTS, max_failed=1)

    assert len(sandbox.account.requests) == 1
    assert database.rows(f"SELECT status, purchases FROM {LEDGER}") == [
        {"status": "in_doubt", "purchases": 1}
    ]


def test_law_8_never_guess_a_country(sandbox: Sandbox, database: Database) -> None:
    database.contacts(["9812345678", "2025550134", "7911123456"])

    run_task(RcsCapabilityOperator, **FROM_CONTACTS)

    assert database.rows("SELECT DISTINCT status, reason FROM filed") == [
        {"status": "invalid", "reason": "no_country_code"}
    ]
    assert not sandbox.account.requests


def test_law_9_max_workers_is_the_number_of_requests_in_flight(sandbox: Sandbox) -> None:
    with latency(sandbox, 300):
        run_task(NumberLookupOperator, numbers=TEN[:6], batch_size=1, max_workers=3)

    arrivals = sorted(request.at for request in sandbox.account.requests)
    assert arrivals[2] - arrivals[0] < 0.25
    assert arrivals[3] - arrivals[0] >= 0.29


def test_law_9_the_connection_is_the_one_that_is_named(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", kaleyra_connection(sandbox))
    monkeypatch.delenv("AIRFLOW_CONN_KALEYRA_DEFAULT")

    assert run_task(RcsCapabilityOperator, numbers=TEN[:1], kaleyra_conn_id="other").state == "success"
    assert run_task(RcsCapabilityOperator, numbers=TEN[:1]).state == "failed"


@pytest.mark.parametrize("operator", [RcsCapabilityOperator, NumberLookupOperator])
def test_law_9_every_setting_has_a_test(operator: type[EnrichmentOperator]) -> None:
    settings = {
        name
        for kind in operator.__mro__[: operator.__mro__.index(EnrichmentOperator) + 1]
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    used: set[str] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg:
                used.add(node.arg)
            if isinstance(node, ast.Dict):
                used.update(key.value for key in node.keys if isinstance(key, ast.Constant))

    assert settings
    assert settings <= used, json.dumps(sorted(settings - used))
