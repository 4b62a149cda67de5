"""Where numbers may come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import task

from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.sandbox import Sandbox
from tests.support.airflow_runs import Said, run, run_task
from tests.support.databases import Database
from tests.support.numbers import numbers, spelled

ONE, TWO, THREE = numbers(3)
MESSY = [ONE, spelled(ONE), TWO, f"  {THREE} ", "n/a", "2025550134", f"{ONE} / {TWO}", None, ONE]


def outcomes(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """What a person would compare: raw text to number, status, reason and answer."""
    return {
        row["raw_number"]: (
            row["phone_number"],
            row["status"],
            row["reason"],
            None if row["rcs_enabled"] is None else bool(row["rcs_enabled"]),
            row["carrier_id"],
        )
        for row in rows
    }


@pytest.mark.parametrize(
    "given",
    [
        pytest.param([ONE, TWO], id="text"),
        pytest.param([int(ONE[1:]), int(TWO[1:])], id="ints"),
        pytest.param([[ONE, "x"], [TWO, "y"]], id="rows"),
        pytest.param([{"phone_number": ONE}, {"phone_number": TWO}], id="dicts"),
        pytest.param(json.dumps([ONE, TWO]), id="JSON text"),
        pytest.param(json.dumps([{"phone_number": ONE}, {"phone_number": TWO}]), id="JSON dicts"),
        pytest.param(f"{ONE}, {TWO}", id="commas"),
        pytest.param(f"{ONE}\n{TWO}\n", id="lines"),
    ],
)
def test_numbers_are_read_from_what_other_tasks_give(given: Any, sandbox: Sandbox) -> None:
    ran = run_task(RcsCapabilityOperator, numbers=given, assume_country_code=True)

    assert [row["phone_number"] for row in ran.xcom] == [ONE, TWO]
    assert {row["status"] for row in ran.xcom} == {"ok"}


def test_numbers_are_read_from_an_upstream_tasks_xcom(sandbox: Sandbox) -> None:
    def tasks() -> None:
        @task(show_return_value_in_logs=False)
        def crm() -> list[str]:
            return [ONE, "nonsense"]

        RcsCapabilityOperator(task_id="rcs", numbers=crm())

    ran = run(tasks)["rcs"]

    assert [row["status"] for row in ran.xcom] == ["ok", "invalid"]


def test_numbers_are_read_from_a_template(sandbox: Sandbox) -> None:
    def tasks() -> None:
        @task(show_return_value_in_logs=False)
        def crm() -> list[str]:
            return [ONE, TWO]

        pulled = RcsCapabilityOperator(task_id="rcs", numbers="{{ ti.xcom_pull(task_ids='crm') | tojson }}")
        crm() >> pulled

    assert [row["phone_number"] for row in run(tasks)["rcs"].xcom] == [ONE, TWO]


def test_an_xcom_a_table_and_a_query_give_the_same_outcomes(sandbox: Sandbox, database: Database) -> None:
    database.contacts(MESSY)
    common = {"sql_conn_id": "warehouse", "number_column": "phone", "result_table": "filed"}

    def tasks() -> None:
        RcsCapabilityOperator(task_id="listed", numbers=MESSY)
        RcsCapabilityOperator(task_id="table", source_table="contacts", **common)
        RcsCapabilityOperator(
            task_id="query", sql="SELECT id, phone FROM contacts", **{**common, "result_table": "queried"}
        )

    ran = run(tasks)

    expected = outcomes(ran["listed"].xcom)
    assert len(expected) == 8
    assert outcomes(database.rows("SELECT * FROM filed")) == expected
    assert outcomes(database.rows("SELECT * FROM queried")) == expected
    assert ran["table"].summary is not None
    assert ran["table"].summary["inputs"] == len(MESSY)


def test_the_first_column_counts_where_a_query_has_no_number_column(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts([ONE])

    ran = run_task(
        RcsCapabilityOperator, sql_conn_id="warehouse", sql="SELECT phone AS tel, id FROM contacts;"
    )

    assert [row["phone_number"] for row in ran.xcom] == [ONE]


def test_a_column_that_is_named_and_that_a_query_does_not_give_is_refused_before_anything_is_bought(
    sandbox: Sandbox, database: Database, said: Said
) -> None:
    database.contacts([ONE])
    sql = "SELECT 919812345678 AS id, phone FROM contacts"

    ran = run_task(
        RcsCapabilityOperator,
        sql_conn_id="warehouse",
        sql=sql,
        number_column="mobile",
        assume_country_code=True,
    )

    assert ran.state == "failed"
    assert "sql gives no column 'mobile', it gives id, phone" in said()
    assert not sandbox.account.requests


def test_where_chooses_rows_with_bound_parameters(sandbox: Sandbox, database: Database) -> None:
    database.contacts([ONE, TWO, THREE])

    ran = run_task(
        RcsCapabilityOperator,
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        where="id >= :least OR note = '12:30'",
        parameters={"least": 2},
    )

    assert [row["phone_number"] for row in ran.xcom] == [TWO, THREE]


def test_parameters_of_where_may_have_any_name_and_more_may_be_given(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts([ONE, TWO, THREE])

    ran = run_task(
        RcsCapabilityOperator,
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        where="id > :param_1",
        parameters={"param_1": 1, "unused": 5},
    )

    assert [row["phone_number"] for row in ran.xcom] == [TWO, THREE]


def test_a_query_may_stand_in_a_sql_file_and_take_parameters(
    sandbox: Sandbox, database: Database, tmp_path: Path
) -> None:
    database.contacts([ONE, TWO])
    (tmp_path / "contacts.sql").write_text("SELECT phone FROM contacts WHERE id = :id -- {{ ds }}\n")

    def tasks() -> None:
        operator = RcsCapabilityOperator(
            task_id="task", sql_conn_id="warehouse", sql="contacts.sql", parameters={"id": 2}
        )
        operator.dag.template_searchpath = [str(tmp_path)]

    assert [row["phone_number"] for row in run(tasks)["task"].xcom] == [TWO]


def test_a_table_is_read_by_its_key_page_by_page(
    sandbox: Sandbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_kaleyra.enrichment.run.CHUNK", 3)
    database.execute(
        "CREATE TABLE leads (a VARCHAR(20) NOT NULL, b INTEGER NOT NULL, phone TEXT, PRIMARY KEY (a, b))"
    )
    phones = numbers(11)
    database.execute(
        "INSERT INTO leads VALUES (:a, :b, :phone)",
        [{"a": "xyz"[n % 3], "b": n, "phone": phone} for n, phone in enumerate(phones)],
    )

    run_task(
        NumberLookupOperator,
        sql_conn_id="warehouse",
        source_table="leads",
        number_column="phone",
        result_table="filed",
    )

    assert {row["raw_number"] for row in database.rows("SELECT raw_number FROM filed")} == set(phones)


def test_a_view_without_a_key_is_read_too(
    sandbox: Sandbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_kaleyra.enrichment.run.CHUNK", 2)
    database.contacts(numbers(5))
    database.execute("CREATE VIEW reachable AS SELECT phone FROM contacts WHERE id > 1")

    run_task(
        RcsCapabilityOperator,
        sql_conn_id="warehouse",
        source_table="reachable",
        number_column="phone",
        result_table="filed",
    )

    assert {row["raw_number"] for row in database.rows("SELECT raw_number FROM filed")} == set(numbers(5)[1:])


def test_names_that_need_quotes_and_schemas_are_the_databases_business(
    sandbox: Sandbox, database: Database
) -> None:
    schema = "main" if database.name == "sqlite" else f"sales_{uuid4().hex[:6]}"
    if schema != "main":
        database.execute(f"CREATE SCHEMA {schema}")
    database.execute(f'CREATE TABLE {schema}."Order" (id INTEGER PRIMARY KEY, "Phone Number" TEXT)')
    database.execute(f'INSERT INTO {schema}."Order" VALUES (1, :phone)', {"phone": ONE})

    run_task(
        RcsCapabilityOperator,
        sql_conn_id="warehouse",
        source_table=f"{schema}.Order",
        number_column="Phone Number",
        result_table=f"{schema}.Outcome",
    )

    assert [row["status"] for row in database.rows(f'SELECT * FROM {schema}."Outcome"')] == ["ok"]
    assert database.rows(f"SELECT phone_number FROM {schema}.kaleyra_rcs_ledger") == [{"phone_number": ONE}]


@pytest.mark.parametrize("kind", ["BIGINT", "DOUBLE PRECISION"])
def test_a_column_of_numbers_is_read_exactly(kind: str, sandbox: Sandbox, database: Database) -> None:
    database.contacts([int(ONE[1:]), int(TWO[1:]), None], kind=kind)

    run_task(
        RcsCapabilityOperator,
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        assume_country_code=True,
        result_table="filed",
    )

    found = {row["phone_number"]: row["status"] for row in database.rows("SELECT * FROM filed")}
    assert found == {ONE: "ok", TWO: "ok", None: "invalid"}


def test_text_that_no_database_could_store_still_gets_its_row(sandbox: Sandbox, database: Database) -> None:
    strange = ["\0", "\ud800", "9" * 5000, "9" * 5000 + "8"]

    run_task(RcsCapabilityOperator, numbers=strange, result_conn_id="warehouse", result_table="filed")

    assert [row["status"] for row in database.rows("SELECT status FROM filed")] == ["invalid"] * 4


def test_an_upstream_that_returned_nothing_is_named(sandbox: Sandbox) -> None:
    def tasks() -> None:
        @task
        def crm() -> None:
            return None

        RcsCapabilityOperator(task_id="rcs", numbers=crm())

    assert run(tasks)["rcs"].state == "failed"


TOO_MANY = {
    "numbers": {"numbers": numbers(10_001, assigned=None)},
    "table": {"sql_conn_id": "warehouse", "source_table": "contacts", "number_column": "phone"},
    "query": {"sql_conn_id": "warehouse", "sql": "SELECT phone FROM contacts"},
}


@pytest.mark.parametrize("given", TOO_MANY)
def test_more_numbers_than_an_xcom_holds_are_refused_before_anything_is_bought(
    given: str, sandbox: Sandbox, sqlite_database: Database, said: Said
) -> None:
    sqlite_database.contacts(numbers(10_001, assigned=None))

    ran = run_task(RcsCapabilityOperator, **TOO_MANY[given])

    assert ran.state == "failed"
    assert "More than 10,000 numbers are too many for an XCom" in said()
    assert not sandbox.account.requests


@pytest.mark.parametrize(
    ("setting", "read"),
    [
        ({}, None),
        ({"default_region": "US"}, ONE),
        ({"default_region": "GB"}, f"+44{ONE[2:]}"),
        ({"assume_country_code": True}, f"+{ONE[2:]}"),
    ],
)
def test_a_national_number_is_read_only_as_the_user_says(
    setting: dict[str, Any], read: str | None, sandbox: Sandbox
) -> None:
    ran = run_task(RcsCapabilityOperator, numbers=[ONE[2:]], **setting)

    assert ran.xcom[0]["phone_number"] == read
    assert (ran.xcom[0]["status"] == "invalid") is (read is None)


def test_dicts_are_read_by_the_number_column(sandbox: Sandbox) -> None:
    rows = [{"id": 1, "tel": ONE}, {"id": 2, "tel": TWO}]

    ran = run_task(RcsCapabilityOperator, numbers=rows, number_column="tel")

    assert [row["phone_number"] for row in ran.xcom] == [ONE, TWO]
