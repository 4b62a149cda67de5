"""Submitted, deferred, answered, filed. `tests/live` runs the same file under a real triggerer that dies."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from airflow_provider_kaleyra.sandbox import Sandbox
from tests.support.databases import Database
from tests.support.examples import run_example
from tests.support.numbers import numbers, spelled

TEN = numbers(10)
PHONES = [*TEN, spelled(TEN[0]), "n/a"]


def test_it_ends_with_every_answer_filed_and_paid_once(sandbox: Sandbox, database: Database) -> None:
    database.contacts(PHONES)

    summary = run_example("submit_and_wait")["numbers"].summary

    assert summary is not None
    assert (summary["ok"], summary["invalid"], summary["pending"]) == (11, 1, 0)
    filed = database.rows("SELECT raw_number, status FROM contacts_numbers")
    assert {row["raw_number"] for row in filed} == set(PHONES)
    assert Counter(row["status"] for row in filed) == {"ok": 11, "invalid": 1}
    assert sandbox.account.purchases["number"] == Counter(TEN)
    assert Decimal(summary["price"]) == sandbox.account.charged > 0
    assert {request.endpoint for request in sandbox.account.requests} == {"submit", "details"}


def test_a_second_run_submits_nothing(sandbox: Sandbox, sqlite_database: Database) -> None:
    sqlite_database.contacts(PHONES)
    run_example("submit_and_wait")
    requests = len(sandbox.account.requests)

    again = run_example("submit_and_wait")["numbers"].summary

    assert again is not None
    assert (again["asked"], again["reused"]) == (0, 11)
    assert len(sandbox.account.requests) == requests
