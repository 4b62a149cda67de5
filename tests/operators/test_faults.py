"""Every way in which the service can fail, as it ends in ledger and results."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.sandbox import Sandbox
from tests.conftest import kaleyra_connection
from tests.support.airflow_runs import run_task
from tests.support.databases import Database
from tests.support.numbers import numbers

PHONES = numbers(12)
LEDGER = "kaleyra_number_ledger"
PARAMETERS: dict[str, Any] = {
    "sql_conn_id": "warehouse",
    "source_table": "contacts",
    "number_column": "phone",
    "result_table": "filed",
    "batch_size": 3,
    "max_failed": 1,
}
IN_DOUBT_NO_ANSWER = ("in_doubt", "no_answer")
IN_DOUBT_UNREADABLE = ("in_doubt", "unreadable_answer")
OK = ("ok", None)


@pytest.fixture(autouse=True)
def _quick(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_kaleyra.api.retry.FIRST_WAIT", 0.01)


@pytest.mark.parametrize(
    ("fault", "options", "ends_as", "requests"),
    [
        ("refuse", {}, IN_DOUBT_NO_ANSWER, 4),
        ("reset", {}, IN_DOUBT_NO_ANSWER, 4),
        ("reset_mid_body", {}, IN_DOUBT_NO_ANSWER, 4),
        ("hang", {}, IN_DOUBT_NO_ANSWER, 4),
        ("drip", {"seconds": 0.05}, IN_DOUBT_NO_ANSWER, 4),
        ("429", {}, OK, 5),
        ("429", {"retry_after": 0}, OK, 5),
        ("429", {"retry_after": "nonsense"}, OK, 5),
        ("json_error", {"status": 500}, OK, 5),
        ("json_error", {"status": 502}, OK, 5),
        ("json_error", {"status": 503, "retry_after": 0}, OK, 5),
        ("json_error", {"status": 500, "times": 3}, ("failed", "service_error"), 6),
        ("json_error", {"status": 408, "bought": True}, IN_DOUBT_NO_ANSWER, 4),
        ("json_error", {"status": 504, "bought": True}, IN_DOUBT_NO_ANSWER, 4),
        ("json_error", {"status": 409}, ("failed", "service_error"), 4),
        ("prov_error", {"times": 3}, ("failed", "service_error"), 6),
        ("html_error", {"status": 500}, IN_DOUBT_UNREADABLE, 4),
        ("html_error", {"status": 502}, IN_DOUBT_UNREADABLE, 4),
        ("html_error", {"status": 503}, IN_DOUBT_UNREADABLE, 4),
        ("truncated", {}, IN_DOUBT_UNREADABLE, 4),
        ("wrong_json", {}, IN_DOUBT_UNREADABLE, 4),
        ("empty", {}, IN_DOUBT_UNREADABLE, 4),
        ("redirect", {"location": "http://127.0.0.1:9/"}, IN_DOUBT_UNREADABLE, 4),
        ("extra", {}, OK, 4),
        ("reordered", {}, OK, 4),
        ("repeated", {}, OK, 4),
        ("other_case", {}, OK, 4),
        ("other_case", {"changes": ["price_missing"]}, OK, 4),
        ("other_case", {"changes": ["price_text"]}, OK, 4),
        ("other_case", {"changes": ["price_zero"]}, OK, 4),
        ("other_case", {"changes": ["price_huge"]}, OK, 4),
    ],
)
def test_a_fault_ends_in_its_status_for_exactly_the_numbers_concerned(
    fault: str,
    options: dict[str, Any],
    ends_as: tuple[str, str | None],
    requests: int,
    sandbox: Sandbox,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fault in ("hang", "drip"):
        monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", kaleyra_connection(sandbox, timeout=1.5))
    database.contacts(PHONES)
    sandbox.fault(fault, number=PHONES[4], **{"times": 1, **options})

    run_task(NumberLookupOperator, **PARAMETERS)

    concerned = PHONES[3:6]
    rows = database.rows("SELECT phone_number, status, reason FROM filed")
    found = {row["phone_number"]: (row["status"], row["reason"]) for row in rows}
    assert found == {number: ends_as if number in concerned else OK for number in PHONES}
    ledger = database.rows(f"SELECT phone_number, status, reason FROM {LEDGER}")
    assert {row["phone_number"]: (row["status"], row["reason"]) for row in ledger} == found
    assert len(sandbox.account.requests) == requests


def test_one_number_that_an_answer_leaves_out_is_failed_alone(sandbox: Sandbox, database: Database) -> None:
    database.contacts(PHONES)
    sandbox.fault("missing", number=PHONES[4])

    run_task(NumberLookupOperator, **PARAMETERS)

    rows = database.rows("SELECT phone_number, reason FROM filed WHERE status <> 'ok'")
    assert rows == [{"phone_number": PHONES[4], "reason": "missing_from_answer"}]


def test_a_number_that_a_bulk_answer_leaves_out_is_looked_up_singly(
    sandbox: Sandbox, database: Database
) -> None:
    phones = numbers(100)
    database.contacts(phones)
    sandbox.fault("missing", number=phones[4], endpoint="bulk")

    run_task(RcsCapabilityOperator, **{**PARAMETERS, "batch_size": 500})

    assert database.rows("SELECT DISTINCT status FROM filed") == [{"status": "ok"}]
    assert [(r.endpoint, len(r.numbers)) for r in sandbox.account.requests] == [("bulk", 100), ("single", 1)]
    ledger = database.rows("SELECT phone_number, purchases FROM kaleyra_rcs_ledger")
    assert {row["phone_number"]: row["purchases"] for row in ledger} == sandbox.account.purchases["rcs"]


def test_what_was_spent_adds_up_to_what_was_charged_after_faults_and_reruns(
    sandbox: Sandbox, database: Database
) -> None:
    phones = numbers(200)
    database.contacts(phones)
    sandbox.settings.price = Decimal("0.0031")
    chance = random.Random(7)
    kinds = ["json_error", "429", "missing", "extra", "repeated", "other_case", "prov_error"]
    try:
        for seed, kind in enumerate(kinds):
            sandbox.fault(kind, rate=0.15, seed=seed)
        for _ in range(3):
            run_task(NumberLookupOperator, **{**PARAMETERS, "batch_size": chance.randint(3, 11)})
    finally:
        sandbox.settings.price = Decimal("0.005")

    spent = [Decimal(str(row["spent"])) for row in database.rows(f"SELECT spent FROM {LEDGER}")]
    lost = database.rows(f"SELECT sum(purchases) AS n FROM {LEDGER}")[0]["n"]
    bought = sum(sandbox.account.purchases["number"].values())
    assert {request.fault for request in sandbox.account.requests} > {"json_error", "429", "missing"}
    assert sum(spent) == sandbox.account.charged
    assert lost == bought


def test_what_was_charged_and_never_answered_is_in_doubt_with_its_purchase_counted(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(PHONES)
    sandbox.fault("reset", number=PHONES[4])

    run_task(NumberLookupOperator, **PARAMETERS)

    rows = database.rows(f"SELECT * FROM {LEDGER}")
    spent = sum((Decimal(str(row["spent"])) for row in rows), Decimal(0))
    doubtful = [row for row in rows if row["status"] == "in_doubt"]
    assert spent + len(doubtful) * Decimal("0.005") == sandbox.account.charged
    assert [row["purchases"] for row in doubtful] == [1, 1, 1]
