"""What goes wrong, and what is told, marked and filed then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.sandbox import Sandbox
from tests.conftest import kaleyra_connection
from tests.support.airflow_runs import Said, run_task
from tests.support.databases import Database
from tests.support.numbers import numbers

TEN = numbers(10)
FROM_CONTACTS: dict[str, Any] = {
    "sql_conn_id": "warehouse",
    "source_table": "contacts",
    "number_column": "phone",
    "result_table": "filed",
}
RETRYING: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(0)}


def test_a_wrong_key_fails_at_once_and_marks_no_row(
    sandbox: Sandbox, database: Database, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.contacts([*TEN, "nonsense"])
    wrong = kaleyra_connection(sandbox).replace(sandbox.api_key, "Anotherkey123")
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", wrong)

    ran = run_task(NumberLookupOperator, **FROM_CONTACTS, **RETRYING)

    assert ran.state == "failed"
    assert len(sandbox.account.requests) == 1
    assert database.rows("SELECT raw_number, status FROM filed") == [
        {"raw_number": "nonsense", "status": "invalid"}
    ]
    assert database.rows("SELECT * FROM kaleyra_number_ledger") == []
    assert "API key" in said()
    assert ran.summary is not None
    assert (ran.summary["asked"], ran.summary["not_asked"], ran.summary["invalid"]) == (0, 10, 1)


def test_an_answer_from_before_the_key_was_lost_stays_as_it_was(
    sandbox: Sandbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.contacts(TEN)
    run_task(NumberLookupOperator, **FROM_CONTACTS)
    before = database.rows("SELECT * FROM kaleyra_number_ledger ORDER BY phone_number")
    wrong = kaleyra_connection(sandbox).replace(sandbox.api_key, "Anotherkey123")
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", wrong)

    run_task(NumberLookupOperator, **FROM_CONTACTS, max_age=timedelta(0))

    assert database.rows("SELECT * FROM kaleyra_number_ledger ORDER BY phone_number") == before


def test_a_disabled_rcs_channel_fails_at_once_while_number_lookups_go_on(
    sandbox: Sandbox, database: Database, said: Said
) -> None:
    database.contacts(TEN)
    sandbox.settings.rcs_enabled = False
    try:
        rcs = run_task(RcsCapabilityOperator, **FROM_CONTACTS, **RETRYING, max_workers=1)
        number = run_task(NumberLookupOperator, **{**FROM_CONTACTS, "result_table": "numbers"})
    finally:
        sandbox.settings.rcs_enabled = True

    assert (rcs.state, number.state) == ("failed", "success")
    assert "RCS channel is not enabled" in said()
    assert database.rows("SELECT * FROM filed") == []
    assert [request.api for request in sandbox.account.requests].count("rcs") == 1


def test_a_refused_connection_field_is_named(
    sandbox: Sandbox, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = kaleyra_connection(sandbox, timeout="soon")
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", wrong)

    assert run_task(RcsCapabilityOperator, numbers=TEN, **RETRYING).state == "failed"
    assert "extra timeout" in said()


def test_the_task_fails_after_filing_everything_if_too_many_have_no_answer(
    sandbox: Sandbox, database: Database, said: Said
) -> None:
    database.contacts(TEN)
    for number in TEN[:2]:
        sandbox.fault("missing", number=number)

    ran = run_task(NumberLookupOperator, **FROM_CONTACTS, max_failed=0.1, batch_size=1)

    assert ran.state == "failed"
    assert "2 of 10 asked numbers have no answer" in said()
    assert len(database.rows("SELECT * FROM filed WHERE status = 'ok'")) == 8
    assert len(database.rows("SELECT * FROM filed WHERE reason = 'missing_from_answer'")) == 2


def test_a_share_of_failures_that_the_user_allows_is_no_failure(sandbox: Sandbox, database: Database) -> None:
    database.contacts(TEN)
    for number in TEN[:2]:
        sandbox.fault("missing", number=number)

    assert run_task(NumberLookupOperator, **FROM_CONTACTS, max_failed=0.2, batch_size=1).state == "success"


def test_an_invalid_input_fails_the_task_before_anything_is_bought_where_the_user_says_so(
    sandbox: Sandbox, database: Database, said: Said
) -> None:
    database.contacts([*TEN, "nonsense", "2025550134"])

    assert run_task(NumberLookupOperator, **FROM_CONTACTS, on_invalid="fail").state == "failed"
    assert not sandbox.account.requests
    told = said()
    assert "2 inputs are no phone numbers" in told
    assert "no_country_code" in told


def test_a_lost_answer_puts_exactly_its_batch_in_doubt_and_the_run_goes_on(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(TEN)
    sandbox.fault("reset", number=TEN[4])

    ran = run_task(NumberLookupOperator, **FROM_CONTACTS, batch_size=2, max_failed=1)

    doubtful = database.rows("SELECT phone_number, reason FROM filed WHERE status = 'in_doubt' ORDER BY 1")
    assert [row["phone_number"] for row in doubtful] == TEN[4:6]
    assert {row["reason"] for row in doubtful} == {"no_answer"}
    assert ran.summary is not None
    assert (ran.summary["ok"], ran.summary["in_doubt"]) == (8, 2)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({}, "exactly one of numbers, source_table and sql"),
        ({"numbers": TEN, "sql": "SELECT 1", "sql_conn_id": "w"}, "numbers and sql"),
        ({"source_table": "contacts"}, "source_table needs sql_conn_id"),
        ({"numbers": TEN, "result_table": "r"}, "result_conn_id"),
        ({"numbers": TEN, "result_conn_id": "w"}, "result_conn_id goes with result_table"),
        (
            {"numbers": TEN, "result_table": "r", "result_conn_id": "w", "ledger_conn_id": "w"},
            "ledger_conn_id",
        ),
        ({"numbers": TEN, "where": "1 = 1"}, "where goes with source_table"),
        ({"numbers": TEN, "parameters": {"a": 1}}, "parameters go with where or sql"),
        ({"numbers": TEN, "write_back": {"a": "status"}}, "write_back goes with"),
        ({"numbers": TEN, "default_region": "India"}, "default_region"),
        ({"numbers": TEN, "max_age": timedelta(-1)}, "max_age"),
        ({"numbers": TEN, "max_age": 30}, "max_age"),
        ({"numbers": TEN, "max_lookups": -1}, "max_lookups"),
        ({"numbers": TEN, "max_price": "-1"}, "max_price"),
        ({"numbers": TEN, "in_doubt": "maybe"}, "in_doubt"),
        ({"numbers": TEN, "on_invalid": "ignore"}, "on_invalid"),
        ({"numbers": TEN, "batch_size": 0}, "batch_size"),
        ({"numbers": TEN, "batch_size": 501}, "batch_size"),
        ({"numbers": TEN, "max_workers": 0}, "max_workers"),
        ({"numbers": TEN, "max_failed": 1.5}, "max_failed"),
        ({"numbers": TEN, "shard": (3, 3)}, "shard"),
        ({"numbers": TEN, "max_price": "abc"}, "max_price must be an amount"),
        ({"numbers": TEN, "max_price": float("nan")}, "max_price must be an amount"),
        ({"numbers": TEN, "max_failed": None}, "max_failed must be a share"),
        ({"numbers": TEN, "max_failed": "0.1"}, "max_failed must be a share"),
        ({"numbers": TEN, "shard": 5}, "shard must be"),
        ({"numbers": TEN, "default_region": 5}, "default_region must be an ISO country"),
        ({"numbers": TEN, "assume_country_code": "IN"}, "assume_country_code must be True or False"),
        (
            {"source_table": "c", "sql_conn_id": "w", "result_table": "r", "write_back": ["a"]},
            "write_back must be a mapping",
        ),
        (
            {
                "source_table": "c",
                "sql_conn_id": "w",
                "result_table": "r",
                "write_back": {"a": "carrier"},
            },
            "write_back names outcome fields that there are not: carrier",
        ),
    ],
)
def test_a_wrong_combination_fails_when_the_dag_is_parsed_and_names_the_parameters(
    wrong: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        NumberLookupOperator(task_id="task", **wrong)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"number_column": "telephone"}, "telephone"),
        ({"source_table": "nowhere"}, "source_table nowhere does not exist"),
        ({"write_back": {"colour": "status"}}, "colour"),
        ({"where": "id > :least"}, "least"),
        ({"default_region": "ZZ"}, "default_region"),
    ],
)
def test_a_wrong_name_fails_before_anything_is_bought_and_is_named(
    wrong: dict[str, Any], named: str, sandbox: Sandbox, database: Database, said: Said
) -> None:
    database.contacts(TEN)

    assert run_task(NumberLookupOperator, **{**FROM_CONTACTS, **wrong}).state == "failed"
    assert named in said()
    assert not sandbox.account.requests


def test_a_connection_of_no_database_is_named(sandbox: Sandbox, said: Said) -> None:
    ran = run_task(RcsCapabilityOperator, numbers=TEN, result_conn_id="kaleyra_default", result_table="filed")

    assert ran.state == "failed"
    assert "'kaleyra_default' is of no SQL database" in said()
