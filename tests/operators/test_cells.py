"""Cells of a source table as its database holds them, however odd."""

from __future__ import annotations

import pytest

from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.sandbox import Sandbox
from tests.support.airflow_runs import Said, TaskRun, run_task
from tests.support.databases import Database
from tests.support.numbers import numbers

PHONES = numbers(7)
ONE, TWO = PHONES[:2]
INVALID_UTF_8 = "CAST(X'2B393139383132FF333435363738' AS TEXT)"
COPIED = {"write_back": {"copied": "phone_number"}}


def enrich(**parameters: object) -> TaskRun:
    given = {"source_table": "contacts"} if "sql" not in parameters else {}
    common = {"sql_conn_id": "warehouse", "number_column": "phone", "result_table": "filed"}
    return run_task(NumberLookupOperator, **common, **given, **parameters)


@pytest.mark.parametrize("given", ["table", "query"])
def test_a_column_of_four_byte_floats_has_lost_digits_and_is_refused(
    given: str, sandbox: Sandbox, database: Database, said: Said
) -> None:
    if database.name == "sqlite":
        pytest.skip("the floats of SQLite have eight bytes")
    database.contacts([int(ONE[1:])], kind="FLOAT" if database.name == "mysql" else "REAL")

    query = {"sql": "SELECT id, phone FROM contacts"} if given == "query" else {}
    ran = enrich(assume_country_code=True, **query)

    assert ran.state == "failed"
    assert not sandbox.account.requests
    assert "column 'phone' is of four-byte floats" in said()


@pytest.mark.parametrize("key", ["DATETIME", "DATE", "DECIMAL(9)", "BOOLEAN", ""])
def test_rows_of_sqlite_are_read_and_written_back_by_their_keys_as_stored(
    key: str, sandbox: Sandbox, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_kaleyra.enrichment.run.CHUNK", 2)
    sqlite_database.execute(f"CREATE TABLE contacts (k {key} PRIMARY KEY, phone TEXT, copied TEXT)")
    sqlite_database.execute(
        "INSERT INTO contacts (k, phone) VALUES ('2024-01-01T00:00:00Z', :a), ('2024-01-01 00:01', :b), "
        "(1.5, :c), (2, :d), ('x', :e), (X'01', :f), ('2024-1-1', :g)",
        dict(zip("abcdefg", PHONES, strict=True)),
    )

    ran = enrich(**COPIED)

    assert ran.summary is not None
    assert ran.summary["inputs"] == 7
    assert [row["copied"] for row in sqlite_database.rows("SELECT * FROM contacts ORDER BY phone")] == sorted(
        PHONES
    )


def test_a_decimal_column_of_sqlite_is_read_as_stored(sandbox: Sandbox, sqlite_database: Database) -> None:
    sqlite_database.contacts([int(ONE[1:]), "by text"], kind="DECIMAL(15)")

    enrich(assume_country_code=True)

    assert sqlite_database.rows("SELECT raw_number, status FROM filed ORDER BY status DESC") == [
        {"raw_number": ONE[1:], "status": "ok"},
        {"raw_number": "by text", "status": "invalid"},
    ]


@pytest.mark.parametrize("given", ["table", "query", "view"])
def test_text_that_is_no_utf_8_is_one_invalid_row(
    given: str, sandbox: Sandbox, sqlite_database: Database
) -> None:
    sqlite_database.contacts([ONE, "", TWO])
    sqlite_database.execute(f"UPDATE contacts SET phone = {INVALID_UTF_8} WHERE id = 2")
    sqlite_database.execute("CREATE VIEW people AS SELECT * FROM contacts")
    sources = {
        "table": {},
        "query": {"sql": "SELECT * FROM contacts"},
        "view": {"sql": "SELECT * FROM people"},
    }

    ran = enrich(**sources[given])

    assert ran.state == "success"
    assert sqlite_database.rows("SELECT status, count(*) AS n FROM filed GROUP BY status") == [
        {"status": "invalid", "n": 1},
        {"status": "ok", "n": 2},
    ]


@pytest.mark.parametrize("kind", ["TEXT", "INT"])
def test_rows_whose_key_is_null_are_read_too(
    kind: str, sandbox: Sandbox, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_kaleyra.enrichment.run.CHUNK", 2)
    keys_with_null(sqlite_database, kind)

    ran = enrich()

    assert ran.summary is not None
    assert (ran.summary["inputs"], ran.summary["ok"]) == (7, 7)


def test_rows_whose_key_is_null_cannot_be_written_back_to(
    sandbox: Sandbox, sqlite_database: Database, said: Said
) -> None:
    keys_with_null(sqlite_database)

    assert enrich(**COPIED).state == "failed"

    assert not sandbox.account.requests
    assert "write_back needs a primary key, and that of source_table contacts is null in some rows" in said()


def test_rows_whose_key_is_null_are_no_matter_where_they_are_not_read(
    sandbox: Sandbox, sqlite_database: Database
) -> None:
    keys_with_null(sqlite_database)

    assert enrich(where="k IS NOT NULL", **COPIED).state == "success"

    written = sqlite_database.rows("SELECT phone FROM contacts WHERE copied = phone")
    assert {row["phone"] for row in written} == set(PHONES[4:])


def keys_with_null(database: Database, kind: str = "TEXT") -> None:
    database.execute(f"CREATE TABLE contacts (k {kind} PRIMARY KEY, phone TEXT, copied TEXT)")
    database.execute(
        "INSERT INTO contacts (k, phone) VALUES (:k, :phone)",
        [{"k": None if n < 4 else str(n), "phone": phone} for n, phone in enumerate(PHONES)],
    )


@pytest.mark.parametrize("given", [[ONE, 10**5000], f'["{ONE}", {"1" * 5000}]'], ids=["list", "JSON"])
def test_a_huge_number_is_one_invalid_input(given: object, sandbox: Sandbox) -> None:
    ran = run_task(RcsCapabilityOperator, numbers=given)

    assert ran.state == "success"
    assert [row["status"] for row in ran.xcom] == ["ok", "invalid"]
    assert ran.xcom[1]["reason"] == "too_long"


def test_keys_of_dicts_are_masked_where_they_are_named(sandbox: Sandbox, said: Said) -> None:
    ran = run_task(RcsCapabilityOperator, numbers=[{ONE: TWO, "Asha": "Ravi"}])

    assert ran.state == "failed"
    assert "it has +12***" in said()
    assert ONE not in said()
