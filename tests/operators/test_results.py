"""Where outcomes go."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest

from airflow_provider_kaleyra.enrichment.summary import BUCKETS
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from tests.support.airflow_runs import Said, run_task
from tests.support.databases import Database, sqlite
from tests.support.numbers import numbers, spelled

ONE, TWO, THREE = numbers(3)
FROM_CONTACTS = {"sql_conn_id": "warehouse", "source_table": "contacts", "number_column": "phone"}


def test_an_rcs_answer_is_filed_as_the_service_gave_it(sandbox: Sandbox, database: Database) -> None:
    phones = numbers(200)
    database.contacts(phones)

    run_task(RcsCapabilityOperator, **FROM_CONTACTS, result_table="filed")

    rows = database.rows("SELECT * FROM filed")
    assert len(rows) == 200
    for row in rows:
        truth = subscriber(row["phone_number"])
        enabled = None if row["rcs_enabled"] is None else bool(row["rcs_enabled"])
        assert (enabled, row["carrier_id"], row["carrier_status"]) == (
            truth.rcs_enabled,
            truth.current.brand,
            truth.carrier_status,
        )
        assert row["response_code"] == "RCS702"


def test_a_number_lookup_is_filed_as_the_service_gave_it(sandbox: Sandbox, database: Database) -> None:
    phones = numbers(300)
    database.contacts(phones)

    run_task(NumberLookupOperator, **FROM_CONTACTS, result_table="filed")

    rows = database.rows("SELECT * FROM filed")
    assert len(rows) == 300
    for row in rows:
        truth = subscriber(row["phone_number"])
        assert row["country"] == truth.country
        assert row["country_code"] == truth.country_code
        assert (row["current_mcc"], row["current_mnc"]) == (truth.current.mcc, truth.current.mnc)
        assert bool(row["is_ported"]) is truth.is_ported
        assert (row["roaming_operator"] is not None) is (truth.roaming is not None)
        assert row["lookup_id"]


def test_moments_are_filed_in_utc(sandbox: Sandbox, database: Database) -> None:
    database.contacts([ONE])

    run_task(RcsCapabilityOperator, **FROM_CONTACTS, result_table="filed")

    (row,) = database.rows("SELECT asked_at, answered_at FROM filed")
    for value in row.values():
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)


def test_each_spelling_of_a_number_gets_its_row(sandbox: Sandbox, database: Database) -> None:
    database.contacts([ONE, spelled(ONE), ONE])

    ran = run_task(NumberLookupOperator, **FROM_CONTACTS, result_table="filed")

    rows = database.rows("SELECT raw_number, phone_number, status FROM filed ORDER BY raw_number")
    assert [(row["phone_number"], row["status"]) for row in rows] == [(ONE, "ok"), (ONE, "ok")]
    assert ran.summary is not None
    assert (ran.summary["inputs"], ran.summary["distinct"], ran.summary["asked"], ran.summary["ok"]) == (
        3,
        1,
        1,
        3,
    )
    assert sandbox.account.purchases["number"] == {ONE: 1}


def test_columns_and_rows_of_the_users_own_stay_as_they_are(sandbox: Sandbox, database: Database) -> None:
    database.contacts([ONE])
    run_task(RcsCapabilityOperator, **FROM_CONTACTS, result_table="filed")
    database.execute("ALTER TABLE filed ADD COLUMN campaign TEXT")
    database.execute("UPDATE filed SET campaign = 'spring'")
    database.execute(
        "INSERT INTO filed (raw_number, status, campaign) VALUES ('someone else', 'ok', 'autumn')"
    )

    run_task(RcsCapabilityOperator, **FROM_CONTACTS, result_table="filed", max_age=timedelta(0))

    assert database.rows("SELECT raw_number, campaign FROM filed ORDER BY raw_number") == [
        {"raw_number": ONE, "campaign": "spring"},
        {"raw_number": "someone else", "campaign": "autumn"},
    ]


def test_a_failed_question_leaves_an_earlier_answer_in_place(sandbox: Sandbox, database: Database) -> None:
    database.contacts([ONE])
    run_task(
        NumberLookupOperator,
        **FROM_CONTACTS,
        result_table="filed",
        write_back={"carrier": "current_operator"},
    )
    sandbox.fault("empty", rate=1)

    run_task(
        NumberLookupOperator,
        **FROM_CONTACTS,
        result_table="filed",
        write_back={"carrier": "current_operator"},
        max_age=timedelta(0),
        max_failed=1,
    )

    for table in ("filed", "kaleyra_number_ledger"):
        (row,) = database.rows(f"SELECT * FROM {table}")
        assert (row["status"], row["reason"]) == ("in_doubt", "unreadable_answer")
        assert row["current_operator"] == subscriber(ONE).current.name
        assert row["answered_at"] is not None
    assert database.rows("SELECT carrier FROM contacts") == [{"carrier": subscriber(ONE).current.name}]


def test_outcomes_are_written_back_to_the_rows_that_they_are_about(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts([ONE, "nonsense", spelled(TWO), None])

    run_task(
        RcsCapabilityOperator,
        **FROM_CONTACTS,
        result_table="filed",
        write_back={"rcs": "rcs_enabled", "carrier": "status"},
    )

    rows = database.rows("SELECT rcs, carrier, note FROM contacts ORDER BY id")
    assert [row["carrier"] for row in rows] == ["ok", "invalid", "ok", "invalid"]
    assert [None if row["rcs"] is None else bool(row["rcs"]) for row in rows] == [
        subscriber(ONE).rcs_enabled,
        None,
        subscriber(TWO).rcs_enabled,
        None,
    ]
    assert {row["note"] for row in rows} == {"mine"}


def test_what_is_reused_is_written_back_too(sandbox: Sandbox, database: Database) -> None:
    database.contacts([ONE])
    run_task(RcsCapabilityOperator, **FROM_CONTACTS, result_table="filed")

    run_task(
        RcsCapabilityOperator, **FROM_CONTACTS, result_table="filed", write_back={"carrier": "carrier_id"}
    )

    assert database.rows("SELECT carrier FROM contacts") == [{"carrier": subscriber(ONE).current.brand}]


def test_a_moment_or_a_flag_is_written_back_in_the_type_of_the_users_column(
    sandbox: Sandbox, database: Database
) -> None:
    columns = "id INTEGER PRIMARY KEY, phone TEXT, t TEXT, b INTEGER, n SMALLINT, s TEXT, d TIMESTAMP"
    database.execute(f"CREATE TABLE contacts ({columns})")
    database.execute("INSERT INTO contacts (id, phone) VALUES (1, :phone)", {"phone": ONE})
    written = {
        "t": "answered_at",
        "b": "is_ported",
        "n": "is_ported",
        "s": "is_ported",
        "d": "answered_at",
    }

    for _ in range(2):
        ran = run_task(NumberLookupOperator, **FROM_CONTACTS, result_table="filed", write_back=written)
        assert ran.state == "success"

    (row,) = database.rows("SELECT t, b, n, s, d FROM contacts")
    assert datetime.fromisoformat(row["t"]).tzinfo is not None
    assert row["b"] == row["n"] == int(subscriber(ONE).is_ported)
    assert row["s"] == str(subscriber(ONE).is_ported).lower()
    assert row["d"] is not None


def test_results_may_live_in_another_database_than_the_source(
    sandbox: Sandbox, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.contacts([ONE])
    with sqlite(tmp_path / "marts.db") as marts:
        monkeypatch.setenv("AIRFLOW_CONN_MARTS", marts.airflow_connection)

        run_task(
            RcsCapabilityOperator,
            **FROM_CONTACTS,
            result_conn_id="marts",
            result_table="filed",
            write_back={"carrier": "status"},
        )

        assert [row["status"] for row in marts.rows("SELECT status FROM filed")] == ["ok"]
        assert len(marts.rows("SELECT * FROM kaleyra_rcs_ledger")) == 1
    assert database.rows("SELECT carrier FROM contacts") == [{"carrier": "ok"}]


def test_two_connections_of_one_database_do_not_wait_for_each_other(
    sandbox: Sandbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.contacts([ONE])
    monkeypatch.setenv("AIRFLOW_CONN_CRM", database.airflow_connection)
    monkeypatch.setattr(
        "airflow_provider_kaleyra.enrichment.database._wait_for_other_writers", lambda *_: None
    )

    ran = run_task(
        RcsCapabilityOperator,
        **{**FROM_CONTACTS, "sql_conn_id": "crm"},
        result_conn_id="warehouse",
        result_table="filed",
        write_back={"carrier": "status"},
    )

    assert ran.state == "success"
    assert database.rows("SELECT carrier FROM contacts") == [{"carrier": "ok"}]


def test_the_xcom_holds_one_outcome_for_each_input_in_their_order(sandbox: Sandbox) -> None:
    given = [TWO, "n/a", ONE, TWO, spelled(ONE)]

    ran = run_task(NumberLookupOperator, numbers=given)

    assert [row["raw_number"] for row in ran.xcom] == given
    assert [row["phone_number"] for row in ran.xcom] == [TWO, None, ONE, TWO, ONE]
    assert json.dumps(ran.xcom)
    assert sandbox.account.purchases["number"] == {ONE: 1, TWO: 1}


def test_a_ledger_may_be_kept_although_the_output_is_the_xcom(sandbox: Sandbox, database: Database) -> None:
    for _ in range(2):
        ran = run_task(NumberLookupOperator, numbers=[ONE, TWO], ledger_conn_id="warehouse")
        assert [row["status"] for row in ran.xcom] == ["ok", "ok"]
        assert ran.xcom[0]["current_operator"] == subscriber(ONE).current.name

    assert sandbox.account.purchases["number"] == {ONE: 1, TWO: 1}


def test_without_a_result_table_the_return_value_is_the_outcomes_and_with_one_the_summary(
    sandbox: Sandbox, sqlite_database: Database
) -> None:
    sqlite_database.contacts([ONE])

    ran = run_task(RcsCapabilityOperator, **FROM_CONTACTS, result_table="filed")

    assert ran.xcom == ran.summary
    assert ran.summary is not None
    assert sorted(ran.summary) == sorted(
        (*BUCKETS, "inputs", "distinct", "asked", "requests", "price", "seconds", "result_table")
    )
    assert ran.summary["result_table"] == "filed"


def test_the_price_is_the_amount_that_was_meant(sandbox: Sandbox, database: Database) -> None:
    sandbox.settings.price = Decimal("0.008")
    try:
        database.contacts(numbers(250))
        ran = run_task(NumberLookupOperator, **FROM_CONTACTS, result_table="filed")
    finally:
        sandbox.settings.price = Decimal("0.005")

    assert ran.summary is not None
    assert Decimal(ran.summary["price"]) == sandbox.account.charged == 2


def test_a_database_without_the_right_to_create_tables_gets_the_ddl_to_hand_on(
    sandbox: Sandbox, database: Database, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.name == "sqlite":
        pytest.skip("SQLite knows no rights")
    login = "LOGIN" if database.name == "postgres" else ""
    clerk = f"clerk_{uuid4().hex[:6]}"
    database.contacts([ONE])
    database.execute(f"CREATE {'ROLE' if login else 'USER'} {clerk} {login}")
    database.execute(f"GRANT SELECT ON contacts TO {clerk}")
    connection = json.dumps({**json.loads(database.airflow_connection), "login": clerk})
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection)

    assert run_task(RcsCapabilityOperator, **FROM_CONTACTS, result_table="filed").state == "failed"
    assert not sandbox.account.requests

    ddl = re.search(r"CREATE TABLE filed \([^;]+;", said())
    assert ddl is not None
    database.execute(ddl[0])
    if login:
        database.execute(f"DROP OWNED BY {clerk}")
    database.execute(f"DROP {'ROLE' if login else 'USER'} {clerk}")


def test_a_table_that_lacks_columns_gets_the_ddl_that_adds_them(
    sandbox: Sandbox, database: Database, said: Said
) -> None:
    database.contacts([ONE])
    database.execute(
        "CREATE TABLE filed (raw_number VARCHAR(255) PRIMARY KEY, phone_number TEXT, status TEXT)"
    )

    assert run_task(RcsCapabilityOperator, **FROM_CONTACTS, result_table="filed").state == "failed"
    assert not sandbox.account.requests

    for statement in dict.fromkeys(re.findall("ALTER TABLE filed ADD COLUMN [^;]+;", said())):
        database.execute(statement)
    assert run_task(RcsCapabilityOperator, **FROM_CONTACTS, result_table="filed").state == "success"
