"""What is left out of an answer is stored nowhere."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import MetaData, Table, inspect, select

from airflow_provider_kaleyra import retries
from airflow_provider_kaleyra.cli import main as kaleyra_ledger
from airflow_provider_kaleyra.enrichment import filing
from airflow_provider_kaleyra.enrichment.kinds import NUMBER
from airflow_provider_kaleyra.errors import ConfigurationError
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.report.content import Filed, report
from airflow_provider_kaleyra.report.reader import read
from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from airflow_provider_kaleyra.sensors.lookup_details import LookupDetailsSensor
from tests.operators.test_stopping import Gone, when_requests_have_left
from tests.support.airflow_runs import TaskRun, run, run_task
from tests.support.databases import Database
from tests.support.numbers import numbers

ROAMING = [n for n in numbers(500) if (host := subscriber(n).roaming) and len(host.name) > 5][:3]
HOSTS = {subscriber(number).roaming.name for number in ROAMING}  # type: ignore[union-attr]
LEDGER = "kaleyra_number_ledger"
ROAMING_COLUMNS = {"roaming_mcc", "roaming_mnc", "roaming_operator"}
KEPT = ["country", "current_operator"]
LEFT_OUT = NUMBER.only(KEPT).left_out
FROM_CONTACTS: dict[str, Any] = {
    "sql_conn_id": "warehouse",
    "source_table": "contacts",
    "number_column": "phone",
    "result_table": "filed",
}
WAIT: dict[str, Any] = {"mode": "submit", "wait_for_completion": True, "poll_interval": 0.1}
WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "triggerer"])
QUICK: dict[str, Any] = {"poke_interval": 0.1, "timeout": 60}


def told(text: str) -> set[str]:
    """Give the networks that numbers roam in, as far as a text names them."""
    return {host for host in HOSTS if host in text}


def in_database(database: Database) -> str:
    """Give all that a database holds."""
    tables = inspect(database.engine).get_table_names()
    return str([database.rows(f"SELECT * FROM {table}") for table in tables])


def in_airflow(dag_id: str) -> str:
    """Give all that Airflow's own database holds of a DAG."""
    from airflow.settings import engine

    described = MetaData()
    described.reflect(engine)
    with engine.connect() as connection:
        return str([_rows(connection, table, dag_id) for table in described.sorted_tables])


def _rows(connection: Any, table: Table, dag_id: str) -> list[Any]:
    if "dag_id" not in table.c:
        return []
    return [tuple(row) for row in connection.execute(select(table).where(table.c.dag_id == dag_id))]


def filled(database: Database, table: str) -> set[str]:
    """Give the answer's columns that hold something in a table."""
    rows = database.rows(f"SELECT * FROM {table}")
    return {name for row in rows for name in NUMBER.answer_types if row.get(name) is not None}


def run_narrow(**parameters: Any) -> TaskRun:
    return run_task(NumberLookupOperator, **{**FROM_CONTACTS, "columns": KEPT, **parameters})


def test_a_table_that_is_made_has_no_column_for_what_is_left_out(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(ROAMING)

    ran = run_narrow(write_back={"carrier": "current_operator"})

    assert ran.summary is not None
    assert ran.summary["ok"] == 3
    columns = {column["name"] for column in inspect(database.engine).get_columns("filed")}
    assert columns == {*NUMBER.result_columns} - LEFT_OUT
    for table in ("filed", LEDGER):
        assert filled(database, table) == {*KEPT, "lookup_id"}
        carriers = {subscriber(number).current.name for number in ROAMING}
        assert {row["current_operator"] for row in database.rows(f"SELECT * FROM {table}")} == carriers
    assert {row["carrier"] for row in database.rows("SELECT carrier FROM contacts")} == carriers
    assert told(in_database(database)) == set()


def test_the_rest_of_an_rcs_answer_can_be_left_out_too(sandbox: Sandbox, database: Database) -> None:
    database.contacts(ROAMING)

    run_task(RcsCapabilityOperator, **FROM_CONTACTS, columns=["rcs_enabled"])

    assert {column["name"] for column in inspect(database.engine).get_columns("filed")}.isdisjoint(
        {"carrier_id", "carrier_status"}
    )
    ledger = database.rows("SELECT * FROM kaleyra_rcs_ledger")
    assert {(row["carrier_id"], row["carrier_status"]) for row in ledger} == {(None, None)}
    assert {number: subscriber(number).rcs_enabled for number in ROAMING} == {
        row["phone_number"]: None if row["rcs_enabled"] is None else bool(row["rcs_enabled"])
        for row in ledger
    }


def test_columns_that_a_table_has_all_the_same_are_emptied(sandbox: Sandbox, database: Database) -> None:
    database.contacts(ROAMING)
    run_task(NumberLookupOperator, **FROM_CONTACTS)
    assert told(in_database(database)) == HOSTS

    run_narrow(max_age=timedelta(0))

    for table in ("filed", LEDGER):
        assert filled(database, table) == {*KEPT, "lookup_id"}
    assert told(in_database(database)) == set()


def test_a_lookup_that_fails_leaves_what_is_kept_and_empties_the_rest(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(ROAMING)
    run_task(NumberLookupOperator, **FROM_CONTACTS)
    sandbox.fault("missing", number=ROAMING[0])

    run_narrow(max_age=timedelta(0), max_failed=1)

    assert {row["status"] for row in database.rows("SELECT * FROM filed")} == {"ok", "failed"}
    (failed,) = database.rows("SELECT * FROM filed WHERE status = 'failed'")
    assert failed["current_operator"] == subscriber(ROAMING[0]).current.name
    assert told(in_database(database)) == set()


def test_an_answer_that_another_dag_has_filed_whole_is_reused_without_the_rest(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(ROAMING)
    run_task(NumberLookupOperator, **{**FROM_CONTACTS, "result_table": "theirs"})

    ran = run_narrow()
    listed = run_task(NumberLookupOperator, numbers=ROAMING, ledger_conn_id="warehouse", columns=KEPT)

    assert ran.summary is not None
    assert ran.summary["reused"] == 3
    assert filled(database, "filed") == {*KEPT, "lookup_id"}
    assert {row["current_operator"] for row in listed.xcom} == {
        subscriber(number).current.name for number in ROAMING
    }
    assert told(json.dumps(listed.xcom)) == set()
    assert sandbox.account.purchases["number"] == dict.fromkeys(ROAMING, 1)


def test_an_answer_that_was_filed_narrow_is_reused_with_nulls(sandbox: Sandbox, database: Database) -> None:
    database.contacts(ROAMING)
    run_narrow()

    ran = run_task(NumberLookupOperator, **{**FROM_CONTACTS, "result_table": "whole"})

    assert ran.summary is not None
    assert (ran.summary["reused"], ran.summary["asked"]) == (3, 0)
    assert filled(database, "whole") == {*KEPT, "lookup_id"}


def test_a_run_again_reads_nothing(sandbox: Sandbox, database: Database) -> None:
    database.contacts(ROAMING)
    run_narrow(write_back={"carrier": "current_operator"})
    database.execute("UPDATE filed SET response_code = 'seen'")

    ran = run_narrow(write_back={"carrier": "current_operator"})

    assert ran.summary is not None
    assert (ran.summary["inputs"], ran.summary["reused"], ran.summary["asked"]) == (3, 3, 0)
    assert database.rows("SELECT DISTINCT response_code FROM filed") == [{"response_code": "seen"}]


def test_outcomes_in_an_xcom_have_no_such_keys(sandbox: Sandbox) -> None:
    dag_id = f"dag_{uuid4().hex[:6]}"

    ran = run(lambda: NumberLookupOperator(task_id="task", numbers=ROAMING, columns=KEPT), dag_id)["task"]

    assert {*ran.xcom[0]} == {*NUMBER.result_columns} - LEFT_OUT
    assert ran.xcom[0]["current_operator"] == subscriber(ROAMING[0]).current.name
    assert told(in_airflow(dag_id)) == set()


@pytest.mark.skipif(retries.RetryPolicy is None, reason="Airflow before 3.3 has no task state store")
def test_what_a_failed_try_keeps_for_the_next_holds_none_of_it(sandbox: Sandbox) -> None:
    sandbox.fault("missing", number=ROAMING[0])

    def left_by(columns: Any) -> str:
        dag_id = f"dag_{uuid4().hex[:6]}"
        parameters: dict[str, Any] = {"numbers": ROAMING, "batch_size": 1, "max_failed": 0}
        ran = run(lambda: NumberLookupOperator(task_id="task", **parameters, columns=columns), dag_id)["task"]
        assert ran.state == "failed"
        return in_airflow(dag_id)

    assert told(left_by(None)) == {subscriber(number).roaming.name for number in ROAMING[1:]}  # type: ignore[union-attr]
    kept = left_by(KEPT)
    assert subscriber(ROAMING[1]).current.name in kept
    assert told(kept) == set()


def test_paid_answers_that_are_kept_in_a_file_hold_none_of_it_and_are_filed_later(
    sandbox: Sandbox, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(filing, "PATIENCE", ())
    monkeypatch.setattr(filing, "PATIENCE_AT_THE_END", ())
    monkeypatch.setattr(sandbox.settings, "latency_ms", 1000)
    database.contacts(ROAMING)
    there = Gone(database)
    with when_requests_have_left(sandbox, 1, there.take_away):
        run_narrow()
    there.bring_back()

    (kept,) = (tmp_path / "home" / "kaleyra").glob("*.jsonl")
    assert subscriber(ROAMING[0]).current.name in kept.read_text()
    assert told(kept.read_text()) == set()
    assert kaleyra_ledger(["file", str(kept)]) == 0
    for table in ("filed", LEDGER):
        assert filled(database, table) == {*KEPT, "lookup_id"}


@WAYS
def test_while_lookups_are_waited_for_none_of_it_is_kept(
    sandbox: Sandbox, database: Database, deferrable: bool
) -> None:
    database.contacts(ROAMING)
    dag_id = f"dag_{uuid4().hex[:6]}"
    parameters = {**FROM_CONTACTS, **WAIT, "deferrable": deferrable, "columns": KEPT}

    ran = run(lambda: NumberLookupOperator(task_id="task", **parameters), dag_id)["task"]

    assert ran.summary is not None
    assert ran.summary["ok"] == 3
    for table in ("filed", LEDGER):
        assert filled(database, table) == {*KEPT, "lookup_id"}
    assert told(in_database(database) + in_airflow(dag_id)) == set()


@WAYS
def test_while_lookups_without_a_table_are_waited_for_none_of_it_is_kept(
    sandbox: Sandbox, database: Database, deferrable: bool
) -> None:
    dag_id = f"dag_{uuid4().hex[:6]}"
    parameters = {**WAIT, "ledger_conn_id": "warehouse", "deferrable": deferrable, "columns": KEPT}

    ran = run(lambda: NumberLookupOperator(task_id="task", numbers=ROAMING, **parameters), dag_id)["task"]

    assert [row["current_operator"] for row in ran.xcom] == [
        subscriber(number).current.name for number in ROAMING
    ]
    assert {*ran.xcom[0]} == {*NUMBER.result_columns} - LEFT_OUT
    assert filled(database, LEDGER) == {*KEPT, "lookup_id"}
    assert told(in_database(database) + in_airflow(dag_id)) == set()


@pytest.mark.parametrize("deferrable", [False, True], ids=["poke", "deferrable"])
def test_the_sensor_settles_a_table_that_lacks_the_columns(
    sandbox: Sandbox, database: Database, deferrable: bool
) -> None:
    database.contacts(ROAMING)
    run_narrow(mode="submit")

    ran = run_task(
        LookupDetailsSensor, sql_conn_id="warehouse", result_table="filed", deferrable=deferrable, **QUICK
    )

    assert ran.xcom == {"result_table": "filed", "ok": 3}
    for table in ("filed", LEDGER):
        assert filled(database, table) == {*KEPT, "lookup_id"}
    assert told(in_database(database)) == set()


@pytest.mark.parametrize("deferrable", [False, True], ids=["poke", "deferrable"])
def test_the_sensor_leaves_columns_empty_that_a_table_has(
    sandbox: Sandbox, database: Database, deferrable: bool
) -> None:
    database.contacts(ROAMING)
    run_task(NumberLookupOperator, **FROM_CONTACTS)
    run_narrow(mode="submit", max_age=timedelta(0))

    ran = run_task(
        LookupDetailsSensor,
        sql_conn_id="warehouse",
        result_table="filed",
        columns=KEPT,
        deferrable=deferrable,
        **QUICK,
    )

    assert ran.xcom == {"result_table": "filed", "ok": 3}
    for table in ("filed", LEDGER):
        assert filled(database, table) == {*KEPT, "lookup_id"}
    assert told(in_database(database)) == set()


def test_the_sensor_returns_details_without_what_is_left_out(sandbox: Sandbox) -> None:
    def tasks() -> None:
        submit = NumberLookupOperator(task_id="submit", numbers=ROAMING, mode="submit", columns=KEPT)
        LookupDetailsSensor(task_id="wait", lookup_id=submit.output, columns=KEPT, **QUICK)

    (details, *_) = run(tasks)["wait"].xcom

    assert details["current_operator"] == subscriber(ROAMING[0]).current.name
    assert LEFT_OUT.isdisjoint(details)


def test_the_run_report_reads_a_table_without_the_columns_of_its_charts(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts([*ROAMING, "nonsense"])
    run_narrow(columns=["original_operator"])
    filed = Filed("number", "warehouse", "filed")
    results, books = read(filed, "")

    assert results is not None
    assert {(each.status, each.rows) for each in results.outcomes} == {("ok", 3), ("invalid", 1)}
    assert [chart.title for chart in report(filed, {}, results, books).charts] == ["Spend by day"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("country", "columns must be a list of columns of the answer, not 'country'.*roaming_mcc"),
        ({"country": True}, "columns must be a list"),
        ([], "columns must be a list"),
        (["country", "operator"], "columns names what the answer does not have: operator. It has .*country"),
        (["rcs_enabled"], "columns names what the answer does not have: rcs_enabled"),
        (["status"], "columns names what the answer does not have: status.*are always filed"),
        ([["country"]], "columns names what the answer does not have"),
    ],
)
@pytest.mark.parametrize(
    "made", [NumberLookupOperator, LookupDetailsSensor], ids=lambda made: str(made.__name__)
)
def test_a_choice_that_cannot_be_meant_fails_when_the_dag_is_parsed(
    made: Any, columns: Any, message: str
) -> None:
    given = {"numbers": ROAMING} if made is NumberLookupOperator else {"lookup_id": "x"}
    with pytest.raises(ConfigurationError, match=message):
        made(task_id="task", **given, columns=columns)


def test_a_field_that_is_left_out_cannot_be_written_back() -> None:
    with pytest.raises(ConfigurationError, match="that columns leaves out: is_ported"):
        NumberLookupOperator(
            task_id="task",
            **FROM_CONTACTS,
            columns=KEPT,
            write_back={"ported": "is_ported", "carrier": "current_operator", "id": "lookup_id"},
        )
