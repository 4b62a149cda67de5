"""The hook in a task of one's own: it asks, remembers nothing, and tells no number."""

from __future__ import annotations

import json
from collections import Counter

from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from tests.support.airflow_runs import Said
from tests.support.databases import Database
from tests.support.examples import load_example, run_example
from tests.support.numbers import numbers, spelled

FEW = numbers(5)


def test_it_counts_carriers_asking_once_about_each_number(sandbox: Sandbox, database: Database) -> None:
    database.contacts([*FEW, spelled(FEW[0]), "n/a", None])

    ran = run_example("hook_in_taskflow")

    assert ran["carriers"].xcom == Counter(subscriber(number).current.name for number in FEW)
    assert sandbox.account.purchases["number"] == dict.fromkeys(FEW, 1)


def test_the_hook_keeps_no_ledger_and_a_second_run_pays_again(
    sandbox: Sandbox, sqlite_database: Database
) -> None:
    sqlite_database.contacts(FEW)

    for _ in range(2):
        run_example("hook_in_taskflow")

    assert sandbox.account.purchases["number"] == dict.fromkeys(FEW, 2)
    assert sqlite_database.rows("SELECT name FROM sqlite_master WHERE name LIKE 'kaleyra%'") == []
    assert load_example("hook_in_taskflow").get_task("carriers").retries == 0


def test_no_number_is_in_its_log_or_its_xcom(sandbox: Sandbox, sqlite_database: Database, said: Said) -> None:
    sqlite_database.contacts(FEW)

    told = json.dumps(run_example("hook_in_taskflow")["carriers"].xcom) + said()

    assert [number for number in FEW if number[1:] in told] == []
