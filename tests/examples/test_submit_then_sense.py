"""Submitted by one task, and awaited by another: by table, and by id."""

from __future__ import annotations

from collections import Counter

from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from tests.support.databases import Database
from tests.support.examples import run_example
from tests.support.numbers import numbers

THREE = numbers(3)


def test_the_sensor_settles_every_pending_row_of_the_table(sandbox: Sandbox, database: Database) -> None:
    database.contacts([*THREE, "n/a"])

    ran = run_example("submit_then_sense")

    assert ran["submit"].xcom["pending"] == 3
    assert ran["wait"].xcom == {"result_table": "contacts_numbers", "ok": 3, "invalid": 1}
    filed = database.rows("SELECT phone_number, current_operator FROM contacts_numbers WHERE status = 'ok'")
    assert {row["phone_number"]: row["current_operator"] for row in filed} == {
        number: subscriber(number).current.name for number in THREE
    }
    assert Counter(THREE) <= sandbox.account.purchases["number"]
    assert set(sandbox.account.purchases["number"].values()) == {1}


def test_the_sensor_gives_the_details_of_each_id(sandbox: Sandbox, sqlite_database: Database) -> None:
    sqlite_database.contacts(THREE)

    ran = run_example("submit_then_sense")

    assert [row["lookup_id"] for row in ran["details"].xcom] == [
        row["lookup_id"] for row in ran["submit_few"].xcom
    ]
    assert [(row["status"], row["country"]) for row in ran["details"].xcom] == [("ok", "US"), ("ok", "GB")]
