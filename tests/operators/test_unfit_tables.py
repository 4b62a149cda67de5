"""Tables that are there already and cannot take what would be filed: told before anything is bought."""

from __future__ import annotations

import pytest

from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from tests.support.airflow_runs import Said, TaskRun, run_task
from tests.support.databases import Database
from tests.support.numbers import numbers

ONE, TWO = numbers(2)
COLUMNS = {
    "raw_number": "VARCHAR(255) PRIMARY KEY",
    "phone_number": "VARCHAR(255)",
    **dict.fromkeys(["status", "reason", "run_id"], "TEXT"),
    **dict.fromkeys(["asked_at", "answered_at"], "TIMESTAMP"),
    **dict.fromkeys(["response_code", "error_message"], "TEXT"),
    "rcs_enabled": "BOOLEAN",
    **dict.fromkeys(["carrier_id", "carrier_status"], "TEXT"),
}


def table(database: Database, name: str = "filed", **columns: str) -> None:
    """Make a result table as a person would, with some columns of other types or of their own."""
    types = {**COLUMNS, **columns}
    if database.name == "mysql":
        types = {column: kind.replace("TIMESTAMP", "DATETIME(6)") for column, kind in types.items()}
        types = {column: f"{kind} NULL" if kind == "DATETIME(6)" else kind for column, kind in types.items()}
    database.execute(
        f"CREATE TABLE {name} ({', '.join(f'{column} {kind}' for column, kind in types.items())})"
    )


def enrich(**parameters: object) -> TaskRun:
    given: dict[str, object] = {"numbers": [ONE, TWO]} if "source_table" not in parameters else {}
    given |= {"sql_conn_id": "warehouse", "result_table": "filed"}
    return run_task(RcsCapabilityOperator, **given, **parameters)


def test_a_table_that_a_person_made_takes_outcomes_and_nothing_else(
    sandbox: Sandbox, database: Database
) -> None:
    table(database, owner="VARCHAR(20) DEFAULT 'me' NOT NULL")

    assert enrich().state == "success"

    rows = database.rows("SELECT raw_number, owner FROM filed ORDER BY raw_number")
    assert rows == [{"raw_number": phone, "owner": "me"} for phone in sorted([ONE, TWO])]
    assert len(database.rows("SELECT * FROM kaleyra_rcs_ledger")) == 2


UNFIT = {
    "no key": {"raw_number": "VARCHAR(255)"},
    "another key": {"raw_number": "VARCHAR(255)", "id": "INTEGER PRIMARY KEY"},
    "a column without default": {"owner": "VARCHAR(20) NOT NULL"},
    "a column that must not be null": {"reason": "VARCHAR(50) NOT NULL"},
}
UNFIT_WHERE_TYPES_COUNT = {
    "a narrow key": {"raw_number": "VARCHAR(250) PRIMARY KEY"},
    "a narrow column": {"run_id": "VARCHAR(5)"},
    "a column of another type": {"carrier_status": "INTEGER"},
}


@pytest.mark.parametrize("fault", [*UNFIT, *UNFIT_WHERE_TYPES_COUNT])
def test_a_result_table_that_cannot_take_outcomes_is_refused_before_anything_is_bought(
    fault: str, sandbox: Sandbox, database: Database, said: Said
) -> None:
    if fault in UNFIT_WHERE_TYPES_COUNT and database.name == "sqlite":
        pytest.skip("SQLite puts any value into any column")
    table(database, **{**UNFIT, **UNFIT_WHERE_TYPES_COUNT}[fault])

    ran = enrich()

    assert ran.state == "failed"
    assert not sandbox.account.requests
    assert "Table filed does not take outcomes: " in said()
    assert database.rows("SELECT * FROM filed") == []


def test_a_table_that_could_take_nothing_back_is_not_tried(sandbox: Sandbox, database: Database) -> None:
    if database.name != "mysql":
        pytest.skip("every table there takes back")
    table(database)
    database.execute("ALTER TABLE filed ENGINE = Aria")

    assert enrich().state == "success"

    assert {row["raw_number"] for row in database.rows("SELECT raw_number FROM filed")} == {ONE, TWO}


def test_the_ledger_is_tried_too(sandbox: Sandbox, database: Database, said: Said) -> None:
    enrich()
    database.execute("ALTER TABLE kaleyra_rcs_ledger RENAME TO earlier")
    database.execute("CREATE TABLE kaleyra_rcs_ledger AS SELECT * FROM earlier WHERE 1 = 0")
    sandbox.account.clear()

    assert enrich().state == "failed"

    assert not sandbox.account.requests
    assert "Table kaleyra_rcs_ledger does not take outcomes: " in said()


def test_a_rule_of_the_users_that_the_example_breaks_is_no_fault_of_the_table(
    sandbox: Sandbox, database: Database
) -> None:
    database.execute("CREATE TABLE known (phone VARCHAR(255) PRIMARY KEY)")
    database.execute("INSERT INTO known VALUES (:phone)", [{"phone": phone} for phone in (ONE, TWO)])
    table(database, raw_number="VARCHAR(255) PRIMARY KEY CHECK (raw_number LIKE '+%')")

    assert enrich().state == "success"


@pytest.mark.parametrize(
    ("kind", "field"),
    [("INTEGER", "run_id"), ("DATE", "status"), ("BOOLEAN", "carrier_status"), ("DECIMAL(9)", "asked_at")],
)
def test_write_back_into_a_column_of_another_type_is_refused_before_anything_is_bought(
    kind: str, field: str, sandbox: Sandbox, database: Database, said: Said
) -> None:
    if (database.name == "sqlite" and kind == "INTEGER") or (database.name == "mysql" and kind == "BOOLEAN"):
        pytest.skip("takes it")
    database.execute(f"CREATE TABLE contacts (id INTEGER PRIMARY KEY, phone TEXT, mine {kind})")
    database.execute("INSERT INTO contacts (id, phone) VALUES (1, :phone)", {"phone": ONE})

    ran = enrich(source_table="contacts", number_column="phone", write_back={"mine": field})

    assert ran.state == "failed"
    assert not sandbox.account.requests
    assert f"write_back cannot put {field} into the column mine of source_table contacts" in said()


def test_write_back_puts_text_of_digits_into_a_column_of_numbers(
    sandbox: Sandbox, database: Database
) -> None:
    database.execute("CREATE TABLE contacts (id INTEGER PRIMARY KEY, phone TEXT, number BIGINT, mcc INTEGER)")
    database.execute("INSERT INTO contacts (id, phone) VALUES (1, :phone)", {"phone": ONE})

    run_task(
        NumberLookupOperator,
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        result_table="filed",
        write_back={"number": "phone_number", "mcc": "current_mcc"},
    )

    assert database.rows("SELECT number, mcc FROM contacts") == [
        {"number": int(ONE), "mcc": int(subscriber(ONE).current.mcc)}
    ]
