"""Waiting for submitted lookups: the same, whether a worker, the scheduler or the triggerer waits."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_kaleyra.errors import ConfigurationError
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from airflow_provider_kaleyra.sensors.lookup_details import LookupDetailsSensor, read_ids
from airflow_provider_kaleyra.triggers.lookup_details import LookupDetailsTrigger
from tests.conftest import kaleyra_connection
from tests.support.airflow_runs import run, run_task
from tests.support.databases import Database
from tests.support.numbers import numbers, spelled

TEN = numbers(10)
LEDGER = "kaleyra_number_ledger"
FROM_CONTACTS: dict[str, Any] = {
    "sql_conn_id": "warehouse",
    "source_table": "contacts",
    "number_column": "phone",
    "result_table": "filed",
}
TABLE: dict[str, Any] = {"sql_conn_id": "warehouse", "result_table": "filed"}
MODES = pytest.mark.parametrize(
    "mode",
    [{"mode": "poke"}, {"mode": "reschedule"}, {"deferrable": True}],
    ids=["poke", "reschedule", "deferrable"],
)
QUICK: dict[str, Any] = {"poke_interval": 0.1, "exponential_backoff": False, "timeout": 60}


@pytest.fixture
def later(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let submitted lookups be pending for so many seconds."""

    def take(seconds: float) -> None:
        monkeypatch.setattr(sandbox.settings, "details_seconds", seconds)

    return take


def submitted(phones: list[str]) -> list[str]:
    """Submit numbers, and give their ids."""
    return list(KaleyraHook().submit_number_lookup(phones).lookup_ids.values())


def asked(sandbox: Sandbox) -> Counter[str]:
    """Count the questions about each id."""
    return Counter(r.lookup_id for r in sandbox.account.requests if r.endpoint == "details")


@MODES
def test_an_id_gives_its_details(sandbox: Sandbox, later: Any, mode: dict[str, Any]) -> None:
    later(1)
    (lookup_id,) = submitted(TEN[:1])

    ran = run_task(LookupDetailsSensor, lookup_id=lookup_id, **QUICK, **mode)

    assert ran.state == "success"
    person = subscriber(TEN[0])
    assert ran.xcom["lookup_id"] == lookup_id
    assert (ran.xcom["status"], ran.xcom["reason"]) == ("ok", None)
    assert (ran.xcom["phone_number"], ran.xcom["country"]) == (TEN[0], person.country)
    assert (ran.xcom["current_operator"], ran.xcom["price"]) == (person.current.name, "0.005")
    assert sandbox.account.purchases["number"] == {TEN[0]: 1}


@MODES
def test_a_list_of_ids_gives_a_list_of_details_in_its_order(
    sandbox: Sandbox, later: Any, mode: dict[str, Any]
) -> None:
    later(0.5)
    ids = submitted(TEN)[::-1]

    ran = run_task(LookupDetailsSensor, lookup_id=ids, **QUICK, **mode)

    assert [row["lookup_id"] for row in ran.xcom] == ids
    assert [row["phone_number"] for row in ran.xcom] == TEN[::-1]
    assert {row["status"] for row in ran.xcom} == {"ok"}


@MODES
def test_the_list_that_the_operator_returns_is_understood_and_never_shown(
    sandbox: Sandbox, later: Any, mode: dict[str, Any]
) -> None:
    later(0.5)

    def tasks() -> None:
        submit = NumberLookupOperator(
            task_id="submit", numbers=[TEN[1], "nonsense", spelled(TEN[0])], mode="submit"
        )
        LookupDetailsSensor(task_id="wait", lookup_id=submit.output, **QUICK, **mode)

    ran = run(tasks)

    assert ran["wait"].state == "success"
    assert [row["phone_number"] for row in ran["wait"].xcom] == [TEN[1], TEN[0]]
    assert ran["wait"].rendered["lookup_id"] == "3 lookups"
    assert not any(number[1:] in json.dumps(ran["wait"].rendered) for number in TEN)


@MODES
def test_the_pending_rows_of_a_table_are_settled(
    sandbox: Sandbox, database: Database, later: Any, mode: dict[str, Any]
) -> None:
    database.contacts([*TEN, spelled(TEN[0]), "nonsense"])
    later(0.5)
    run_task(NumberLookupOperator, **FROM_CONTACTS, mode="submit")

    ran = run_task(LookupDetailsSensor, **TABLE, **QUICK, **mode)

    assert ran.state == "success"
    assert ran.xcom == {"result_table": "filed", "ok": 11, "invalid": 1}
    filed = {row["raw_number"]: row for row in database.rows("SELECT * FROM filed")}
    ledger = {row["phone_number"]: row for row in database.rows(f"SELECT * FROM {LEDGER}")}
    for raw in (*TEN, spelled(TEN[0])):
        row = filed[raw]
        own = ledger[row["phone_number"]]
        assert row["current_operator"] == subscriber(row["phone_number"]).current.name
        assert (row["status"], row["answered_at"]) == ("ok", own["answered_at"])
        assert (own["status"], own["purchases"]) == ("ok", 1)
        assert Decimal(str(own["spent"])) == Decimal("0.005")
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)

    again = run_task(NumberLookupOperator, **FROM_CONTACTS, write_back={"carrier": "current_operator"})
    assert again.summary is not None
    assert (again.summary["asked"], again.summary["reused"]) == (0, 11)
    assert len(database.rows("SELECT * FROM contacts WHERE carrier IS NOT NULL")) == 11


@MODES
def test_nothing_pending_is_done_at_once(
    sandbox: Sandbox, sqlite_database: Database, mode: dict[str, Any]
) -> None:
    sqlite_database.contacts(TEN)
    run_task(NumberLookupOperator, **FROM_CONTACTS)
    assert run_task(LookupDetailsSensor, **TABLE, **QUICK, **mode).state == "success"
    assert run_task(LookupDetailsSensor, lookup_id=[None], **QUICK, **mode).xcom == []
    assert not asked(sandbox)


@MODES
@pytest.mark.parametrize("soft_fail", [False, True])
def test_when_time_is_up_what_came_stays_filed_and_the_message_counts_the_rest(
    sandbox: Sandbox, sqlite_database: Database, mode: dict[str, Any], soft_fail: bool, said: Any
) -> None:
    sqlite_database.contacts(TEN)
    run_task(NumberLookupOperator, **FROM_CONTACTS, mode="submit")
    for number in TEN[:3]:
        sandbox.fault("pending", number=number, endpoint="details")

    ran = run_task(
        LookupDetailsSensor, **TABLE, **{**QUICK, "timeout": 1}, **mode, soft_fail=soft_fail, retries=0
    )

    assert ran.state == ("skipped" if soft_fail else "failed")
    assert "3 submitted lookups have no answer yet" in said()
    statuses = Counter(row["status"] for row in sqlite_database.rows("SELECT * FROM filed"))
    assert statuses == {"ok": 7, "pending": 3}


@MODES
def test_a_failed_lookup_is_an_outcome(sandbox: Sandbox, mode: dict[str, Any]) -> None:
    ids = submitted(TEN[:2])
    sandbox.fault("gone", number=TEN[0], endpoint="details")

    ran = run_task(LookupDetailsSensor, lookup_id=ids, **QUICK, **mode)

    assert [(row["status"], row["reason"]) for row in ran.xcom] == [
        ("failed", "lookup_expired"),
        ("ok", None),
    ]


@MODES
def test_a_service_that_fails_for_a_while_is_borne(
    sandbox: Sandbox, mode: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_kaleyra.api import retry

    monkeypatch.setattr(retry, "FIRST_WAIT", 0.001)
    ids = submitted(TEN[:2])
    # Each id is asked about five times a round.
    sandbox.fault("reset", at=1, times=25, endpoint="details")

    ran = run_task(LookupDetailsSensor, lookup_id=ids, **QUICK, **mode, max_workers=1)

    assert ran.state == "success"
    assert [row["status"] for row in ran.xcom] == ["ok", "ok"]


@MODES
def test_a_wrong_key_fails_at_once_without_a_retry(
    sandbox: Sandbox, mode: dict[str, Any], monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    (lookup_id,) = submitted(TEN[:1])
    monkeypatch.setattr(sandbox.settings, "api_key", "another-key")

    ran = run_task(LookupDetailsSensor, lookup_id=lookup_id, **QUICK, **mode, retries=3)

    assert ran.state == "failed"
    assert len(asked(sandbox)) == 1
    assert "refused the account SID or API key" in said()


@MODES
def test_the_connections_rate_limit_and_the_workers_bound_the_questions(
    sandbox: Sandbox, mode: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = submitted(numbers(60))
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", kaleyra_connection(sandbox, requests_per_second=40))

    run_task(LookupDetailsSensor, lookup_id=ids, **QUICK, **mode, max_workers=30)

    at = sorted(request.at for request in sandbox.account.requests if request.endpoint == "details")[:60]
    assert at[-1] - at[0] >= 59 / 40 * 0.9


@pytest.mark.parametrize("mode", [{"mode": "poke"}, {"deferrable": True}], ids=["poke", "deferrable"])
def test_a_pending_id_is_one_question_a_round_and_a_finished_one_none(
    sandbox: Sandbox, database: Database, mode: dict[str, Any]
) -> None:
    database.contacts([*TEN, spelled(TEN[0])])
    run_task(NumberLookupOperator, **FROM_CONTACTS, mode="submit")
    ids = {row["phone_number"]: row["lookup_id"] for row in database.rows("SELECT * FROM filed")}
    sandbox.fault("pending", number=TEN[0], endpoint="details", times=3)

    run_task(LookupDetailsSensor, **TABLE, **QUICK, **mode)

    assert asked(sandbox) == {**{ids[number]: 1 for number in TEN}, ids[TEN[0]]: 4}


def test_rounds_wait_longer_up_to_ten_times_the_interval() -> None:
    sensor = LookupDetailsSensor(task_id="wait", lookup_id="x", poke_interval=7)
    assert sensor.exponential_backoff
    assert sensor.max_wait is not None
    assert sensor.max_wait.total_seconds() == 70


def test_the_deferred_task_holds_names_and_plain_values(sandbox: Sandbox, sqlite_database: Database) -> None:
    sensor = LookupDetailsSensor(task_id="wait", **TABLE, **QUICK, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})

    trigger = deferred.value.trigger
    assert isinstance(trigger, LookupDetailsTrigger)
    assert deferred.value.method_name == "execute_complete"
    # Airflow's own deferral timeout acts late, and skips what has to be done at the end.
    assert deferred.value.timeout is None
    path, values = trigger.serialize()
    assert path == "airflow_provider_kaleyra.triggers.lookup_details.LookupDetailsTrigger"
    assert json.loads(json.dumps(values)) == values
    assert (values["lookup_ids"], values["result_table"]) == (None, "filed")
    assert sandbox.api_key not in json.dumps(values)


@pytest.mark.parametrize("event", [None, {}, {"status": "done"}, "success", 3])
def test_an_event_that_is_missing_or_unknown_is_refused(event: Any) -> None:
    sensor = LookupDetailsSensor(task_id="wait", lookup_id="x", deferrable=True)
    with pytest.raises(Exception, match="without an event that can be understood"):
        sensor.execute_complete({}, event)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({}, "exactly one of lookup_id and result_table"),
        ({"lookup_id": "x", **TABLE}, "exactly one of lookup_id and result_table"),
        ({"result_table": "filed"}, "sql_conn_id"),
        ({"lookup_id": "x", "sql_conn_id": "warehouse"}, "sql_conn_id"),
        ({"lookup_id": "x", "max_workers": 0}, "max_workers"),
    ],
)
def test_what_cannot_be_meant_fails_when_the_dag_is_read(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        LookupDetailsSensor(task_id="wait", **parameters)


@MODES
def test_a_table_that_does_not_exist_is_told_and_not_made(
    sandbox: Sandbox, sqlite_database: Database, mode: dict[str, Any], said: Any
) -> None:
    assert run_task(LookupDetailsSensor, **TABLE, **QUICK, **mode).state == "failed"
    assert "Table filed does not exist" in said()
    assert sqlite_database.rows("SELECT * FROM sqlite_master") == []


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ("a:1", [("a:1", None)]),
        (["a:1", None, "a:2"], [("a:1", None), ("a:2", None)]),
        ('["a:1", "a:2"]', [("a:1", None), ("a:2", None)]),
        ([{"raw_number": "x", "lookup_id": "a:1"}, {"lookup_id": None}], [("a:1", None)]),
        ({"lookup_id": "a:1", "phone_number": TEN[0]}, [("a:1", TEN[0])]),
        ([], []),
    ],
)
def test_ids_are_read_as_tasks_give_them(value: Any, ids: list[tuple[str, str | None]]) -> None:
    assert read_ids(value) == ids


@pytest.mark.parametrize("value", [None, 3, "[", [3], [["a"]]])
def test_what_holds_no_ids_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="lookup_id"):
        read_ids(value)
