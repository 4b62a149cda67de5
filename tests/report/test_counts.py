"""What the database counts for a report."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import event

from airflow_provider_kaleyra.errors import ConfigurationError
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.report import reader
from airflow_provider_kaleyra.report.content import Filed
from airflow_provider_kaleyra.report.reader import read
from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from tests.support.airflow_runs import TaskRun, run_task
from tests.support.databases import Database
from tests.support.numbers import numbers

PHONES = numbers(200)
FROM_CONTACTS = {"sql_conn_id": "warehouse", "source_table": "contacts", "number_column": "phone"}
RCS = Filed("rcs", "warehouse", "filed")
NUMBER = Filed("number", "warehouse", "filed")

pytestmark = pytest.mark.usefixtures("airflow_db", "sandbox")


def run_id(database: Database, table: str = "filed") -> str:
    (row,) = database.rows(f"SELECT DISTINCT run_id FROM {table}")
    return str(row["run_id"])


def enriched(database: Database, operator: type, **parameters: object) -> TaskRun:
    database.contacts([*PHONES, "9812345678", "nonsense", "n/a", "none"])
    return run_task(operator, **FROM_CONTACTS, result_table="filed", **parameters)


def test_outcomes_are_counted_by_status_and_reason_and_this_runs_apart(database: Database) -> None:
    enriched(database, RcsCapabilityOperator)
    results, _ = read(RCS, run_id(database))
    elsewhere, _ = read(RCS, "another/run")

    assert results is not None
    assert elsewhere is not None
    counts = {(each.status, each.reason): each.rows for each in results.outcomes}
    assert counts == {
        ("ok", None): 200,
        ("invalid", "empty"): 2,
        ("invalid", "no_country_code"): 1,
        ("invalid", "letters"): 1,
    }
    assert all(each.of_run == each.rows for each in results.outcomes)
    assert {each.of_run for each in elsewhere.outcomes} == {0}


def test_reach_is_counted_by_carrier_and_by_the_first_digits(database: Database) -> None:
    enriched(database, RcsCapabilityOperator)
    results, _ = read(RCS, run_id(database))

    assert results is not None
    truth: dict[str, Counter[bool | None]] = {}
    for phone in PHONES:
        known = subscriber(phone)
        truth.setdefault(known.current.brand, Counter())[known.rcs_enabled] += 1
    assert {each.label: (each.yes, each.no, each.unknown) for each in results.by_carrier} == {
        brand: (found[True], found[False], found[None]) for brand, found in truth.items()
    }
    assert {each.label for each in results.by_country} == {phone[:4] for phone in PHONES}
    assert sum(sum(each[1:]) for each in results.by_country) == 200


def test_porting_is_counted_by_country_and_carrier(database: Database) -> None:
    enriched(database, NumberLookupOperator)
    results, _ = read(NUMBER, run_id(database))

    assert results is not None
    ported = sum(subscriber(phone).is_ported for phone in PHONES)
    assert [tuple(each) for each in results.by_country] == [("US", ported, 200 - ported, 0)]
    assert sum(each.yes for each in results.by_carrier) == ported


def test_what_was_spent_is_counted_by_utc_day(database: Database) -> None:
    enriched(database, NumberLookupOperator)
    database.execute(
        "UPDATE kaleyra_number_ledger SET asked_at = '2026-01-31 23:59:59.000000' WHERE phone_number = :one",
        {"one": PHONES[0]},
    )
    _, books = read(NUMBER, run_id(database))

    assert books is not None
    assert (books.numbers, books.lookups, books.spent, books.bought_again) == (200, 200, Decimal("1.0"), 0)
    # The run may have seen midnight.
    assert books.days[0] == ("2026-01-31", 1, Decimal("0.005"))
    assert sum(day.lookups for day in books.days[1:]) == 199
    today = datetime.now(UTC).date()
    assert {day.day for day in books.days[1:]} <= {str(today), str(today - timedelta(days=1))}


def test_a_number_bought_twice_is_counted(sandbox: Sandbox, database: Database) -> None:
    enriched(database, NumberLookupOperator)
    run_task(
        NumberLookupOperator,
        **FROM_CONTACTS,
        where="phone = :one",
        parameters={"one": PHONES[0]},
        result_table="filed",
        max_age=timedelta(0),
    )
    _, books = read(NUMBER, run_id(database, "kaleyra_number_ledger WHERE purchases = 2"))

    assert books is not None
    assert (books.lookups, books.spent, books.bought_again) == (201, Decimal("1.005"), 1)


def test_what_is_in_doubt_is_counted(sandbox: Sandbox, database: Database) -> None:
    sandbox.fault("truncated", api="number", at=1)
    enriched(database, NumberLookupOperator, max_failed=1)
    results, books = read(NUMBER, run_id(database, "kaleyra_number_ledger"))

    assert results is not None
    assert books is not None
    assert ("in_doubt", "unreadable_answer", 100, 100) in results.outcomes
    assert ("in_doubt", "unreadable_answer", 100, 100) in books.outcomes


def test_a_table_without_the_columns_of_charts_still_counts(database: Database) -> None:
    enriched(database, RcsCapabilityOperator)
    database.execute("ALTER TABLE filed DROP COLUMN carrier_id")
    results, _ = read(RCS, run_id(database))

    assert results is not None
    assert results.by_carrier == ()
    assert sum(each.rows for each in results.outcomes) == 204


@pytest.mark.parametrize(
    "table",
    [
        "contacts",
        "kaleyra_rcs_ledger",
        "no_such_table",
        "filed; DROP TABLE contacts",
        'filed" WHERE 1=1; DROP TABLE contacts; --',
        "filed UNION SELECT phone FROM contacts",
        "main.contacts",
    ],
)
def test_nothing_but_a_result_table_is_read(database: Database, table: str) -> None:
    enriched(database, RcsCapabilityOperator)

    with pytest.raises(ConfigurationError, match="is no result table"):
        read(Filed("rcs", "warehouse", table), "")
    assert database.rows("SELECT count(*) AS n FROM contacts") == [{"n": 204}]


def test_no_statement_of_a_report_reads_rows_one_by_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    enriched(database, NumberLookupOperator)
    statements: list[str] = []
    make_engine = reader.engine_of

    def watched(conn_id: str) -> object:
        engine = make_engine(conn_id)
        event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        return engine

    monkeypatch.setattr(reader, "engine_of", watched)
    read(NUMBER, run_id(database))

    counting = [sql for sql in statements if "FROM filed" in sql or "FROM kaleyra" in sql]
    assert len(counting) >= 5
    assert all("sum(" in sql or "count(" in sql for sql in counting)
