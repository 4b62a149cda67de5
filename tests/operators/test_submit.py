"""Lookups that are submitted and answered later: bought once, filed once, whoever waits."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_kaleyra.errors import ConfigurationError
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from airflow_provider_kaleyra.sensors.lookup_details import LookupDetailsSensor
from tests.support.airflow_runs import run, run_task
from tests.support.databases import Database
from tests.support.numbers import numbers, spelled

TEN = numbers(10)
NOBODYS = next(number for number in numbers(500, assigned=None) if not subscriber(number).assigned)
LEDGER = "kaleyra_number_ledger"
FROM_CONTACTS: dict[str, Any] = {
    "sql_conn_id": "warehouse",
    "source_table": "contacts",
    "number_column": "phone",
    "result_table": "filed",
}
SUBMIT: dict[str, Any] = {"mode": "submit"}
WAIT: dict[str, Any] = {**SUBMIT, "wait_for_completion": True, "poll_interval": 0.1}
WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "triggerer"])


@pytest.fixture
def later(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let submitted lookups be pending for so many seconds."""

    def take(seconds: float) -> None:
        monkeypatch.setattr(sandbox.settings, "details_seconds", seconds)

    return take


def asked_by_id(sandbox: Sandbox) -> list[str]:
    return [request.lookup_id for request in sandbox.account.requests if request.endpoint == "details"]


def age(database: Database, table: str, ago: timedelta) -> None:
    then = datetime.now(UTC) - ago
    database.execute(
        f"UPDATE {table} SET asked_at = :then",
        {"then": then if database.name == "postgres" else then.replace(tzinfo=None)},
    )


def test_ids_are_filed_as_pending_and_the_task_ends(sandbox: Sandbox, database: Database) -> None:
    database.contacts([*TEN, spelled(TEN[0]), NOBODYS, "nonsense"])

    ran = run_task(NumberLookupOperator, **FROM_CONTACTS, **SUBMIT)

    filed = {row["raw_number"]: row for row in database.rows("SELECT * FROM filed")}
    ledger = {row["phone_number"]: row for row in database.rows(f"SELECT * FROM {LEDGER}")}
    assert ran.state == "success"
    assert {filed[number]["status"] for number in (*TEN, spelled(TEN[0]))} == {"pending"}
    assert (filed[NOBODYS]["status"], filed["nonsense"]["status"]) == ("invalid", "invalid")
    assert filed[spelled(TEN[0])]["lookup_id"] == filed[TEN[0]]["lookup_id"] == ledger[TEN[0]]["lookup_id"]
    assert len({filed[number]["lookup_id"] for number in TEN}) == 10
    assert {(row["status"], row["purchases"]) for row in ledger.values() if row["lookup_id"]} == {
        ("pending", 1)
    }
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)
    assert asked_by_id(sandbox) == []
    assert ran.xcom == ran.summary
    assert ran.summary is not None
    assert (ran.summary["pending"], ran.summary["invalid"], ran.summary["asked"]) == (11, 2, 11)


@WAYS
def test_waiting_files_every_spelling_and_tells_the_whole_run(
    sandbox: Sandbox, database: Database, later: Any, deferrable: bool
) -> None:
    database.contacts([*TEN, spelled(TEN[0]), NOBODYS, "nonsense"])
    later(0.5)

    ran = run_task(
        NumberLookupOperator,
        **FROM_CONTACTS,
        **WAIT,
        deferrable=deferrable,
        write_back={"carrier": "current_operator"},
    )

    assert ran.state == "success"
    filed = {row["raw_number"]: row for row in database.rows("SELECT * FROM filed")}
    ledger = {row["phone_number"]: row for row in database.rows(f"SELECT * FROM {LEDGER}")}
    for raw in (*TEN, spelled(TEN[0])):
        person = subscriber(filed[raw]["phone_number"])
        assert (filed[raw]["status"], filed[raw]["current_operator"]) == ("ok", person.current.name)
        assert filed[raw]["answered_at"] == ledger[person.number]["answered_at"]
    assert {(ledger[number]["status"], ledger[number]["purchases"]) for number in TEN} == {("ok", 1)}
    assert {Decimal(str(ledger[number]["spent"])) for number in TEN} == {Decimal("0.005")}
    carriers = database.rows("SELECT carrier FROM contacts WHERE carrier IS NOT NULL")
    assert len(carriers) == 11
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)
    summary = ran.summary
    assert summary is not None
    assert (summary["ok"], summary["reused"], summary["pending"], summary["invalid"]) == (11, 0, 0, 2)
    assert (summary["asked"], Decimal(summary["price"])) == (11, Decimal("0.05"))
    assert summary["requests"] == len(sandbox.account.requests)
    assert summary["seconds"] >= 0.5
    assert ran.xcom == summary


@WAYS
def test_waiting_without_a_table_returns_the_outcomes_in_order(
    sandbox: Sandbox, later: Any, deferrable: bool
) -> None:
    later(0.3)
    ran = run_task(
        NumberLookupOperator,
        numbers=[TEN[1], "nonsense", TEN[0], spelled(TEN[1])],
        **WAIT,
        deferrable=deferrable,
    )

    assert ran.state == "success"
    assert [row["status"] for row in ran.xcom] == ["ok", "invalid", "ok", "ok"]
    assert [row["phone_number"] for row in ran.xcom] == [TEN[1], None, TEN[0], TEN[1]]
    assert ran.xcom[0]["current_operator"] == subscriber(TEN[1]).current.name
    assert ran.xcom[0]["answered_at"]
    assert sandbox.account.purchases["number"] == {TEN[0]: 1, TEN[1]: 1}
    assert ran.summary is not None
    assert (ran.summary["ok"], ran.summary["asked"], ran.summary["price"]) == (3, 2, "0.010")


@WAYS
def test_waiting_without_a_table_keeps_the_ledger_that_is_named(
    sandbox: Sandbox, database: Database, later: Any, deferrable: bool
) -> None:
    later(0.3)
    ran = run_task(
        NumberLookupOperator, numbers=TEN[:3], ledger_conn_id="warehouse", **WAIT, deferrable=deferrable
    )

    assert [row["status"] for row in ran.xcom] == ["ok"] * 3
    ledger = database.rows(f"SELECT * FROM {LEDGER}")
    assert {(row["status"], row["purchases"]) for row in ledger} == {("ok", 1)}
    assert {Decimal(str(row["spent"])) for row in ledger} == {Decimal("0.005")}
    assert ran.summary is not None
    assert (ran.summary["ok"], ran.summary["reused"]) == (3, 0)
    assert Decimal(ran.summary["price"]) == Decimal("0.015")


def test_without_a_table_the_ids_are_returned_in_order(sandbox: Sandbox) -> None:
    ran = run_task(NumberLookupOperator, numbers=[TEN[1], "nonsense", TEN[0], spelled(TEN[1])], **SUBMIT)

    assert [row["raw_number"] for row in ran.xcom] == [TEN[1], "nonsense", TEN[0], spelled(TEN[1])]
    one, none, two, same = (row["lookup_id"] for row in ran.xcom)
    assert none is None
    assert one == same != two
    assert all(set(row) == {"raw_number", "lookup_id"} for row in ran.xcom)


def test_the_url_of_a_submission_is_nowhere(sandbox: Sandbox, sqlite_database: Database, said: Any) -> None:
    sqlite_database.contacts(TEN)
    listed = run_task(NumberLookupOperator, numbers=TEN[:2], **SUBMIT)
    filed = run_task(NumberLookupOperator, **FROM_CONTACTS, **WAIT, deferrable=True)

    rows = [sqlite_database.rows(f"SELECT * FROM {table}") for table in ("filed", LEDGER)]
    told = json.dumps(
        [listed.xcom, listed.summary, listed.rendered, filed.xcom, filed.rendered, rows], default=str
    )
    assert sandbox.url_key not in told
    assert sandbox.url_key not in said()


@pytest.mark.parametrize("mode", ["realtime", "submit"])
def test_a_pending_number_is_asked_by_nobody_again(
    sandbox: Sandbox, database: Database, later: Any, mode: str, said: Any
) -> None:
    later(60)
    database.contacts(TEN)
    database.contacts([*TEN[:3], spelled(TEN[0])], table="leads")
    run_task(NumberLookupOperator, **FROM_CONTACTS, **SUBMIT)

    ran = run_task(
        NumberLookupOperator,
        **{**FROM_CONTACTS, "source_table": "leads", "result_table": "leads_filed"},
        mode=mode,
        max_age=timedelta(0),
    )

    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)
    mine = database.rows("SELECT * FROM leads_filed")
    theirs = {row["phone_number"]: row for row in database.rows("SELECT * FROM filed")}
    assert len(mine) == 4
    for row in mine:
        assert (row["status"], row["lookup_id"]) == ("pending", theirs[row["phone_number"]]["lookup_id"])
        assert row["run_id"] != theirs[row["phone_number"]]["run_id"]
    summary = ran.summary
    assert summary is not None
    assert summary["asked"] == 0
    if mode == "realtime":
        assert (summary["not_asked"], "pending" in summary) == (4, False)
        assert "LookupDetailsSensor" in said()
    else:
        assert (summary["not_asked"], summary["pending"]) == (0, 4)


@WAYS
def test_an_answer_leaves_nothing_of_an_earlier_one_and_a_pending_one_all(
    sandbox: Sandbox, database: Database, later: Any, deferrable: bool
) -> None:
    database.contacts(TEN[:1])
    run_task(NumberLookupOperator, **FROM_CONTACTS)
    (first,) = database.rows("SELECT * FROM filed")

    again = {**FROM_CONTACTS, "max_age": timedelta(0)}
    run_task(NumberLookupOperator, **again, **SUBMIT)
    (pending,) = database.rows("SELECT * FROM filed")
    assert (pending["status"], pending["current_operator"]) == ("pending", first["current_operator"])
    assert pending["answered_at"] == first["answered_at"]
    assert pending["lookup_id"] != first["lookup_id"]

    ran = run_task(NumberLookupOperator, **again, **WAIT, deferrable=deferrable)
    (last,) = database.rows("SELECT * FROM filed")
    assert (last["status"], last["lookup_id"]) == ("ok", pending["lookup_id"])
    assert last["answered_at"] > first["answered_at"]
    assert database.rows(f"SELECT purchases FROM {LEDGER}") == [{"purchases": 2}]
    assert ran.summary is not None
    assert ran.summary["asked"] == 0


@WAYS
def test_when_time_is_up_what_came_stays_filed_and_the_message_counts_the_rest(
    sandbox: Sandbox, database: Database, deferrable: bool, said: Any
) -> None:
    database.contacts(TEN)
    for number in TEN[:3]:
        sandbox.fault("pending", number=number, endpoint="details")

    ran = run_task(NumberLookupOperator, **FROM_CONTACTS, **WAIT, wait_timeout=1, deferrable=deferrable)

    assert ran.state == "failed"
    assert "3 submitted lookups have no answer yet" in said()
    statuses = {row["raw_number"]: row["status"] for row in database.rows("SELECT * FROM filed")}
    assert {number for number, status in statuses.items() if status == "pending"} == set(TEN[:3])
    assert {number for number, status in statuses.items() if status == "ok"} == set(TEN[3:])
    assert ran.summary is not None
    assert (ran.summary["ok"], ran.summary["pending"]) == (7, 3)

    sandbox.clear_faults()
    ran = run_task(NumberLookupOperator, **FROM_CONTACTS, **WAIT, deferrable=deferrable)
    assert ran.state == "success"
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)
    assert ran.summary is not None
    assert (ran.summary["ok"] + ran.summary["reused"], ran.summary["asked"]) == (10, 0)


@WAYS
def test_a_retry_goes_on_waiting_and_buys_nothing(
    sandbox: Sandbox, database: Database, later: Any, deferrable: bool
) -> None:
    database.contacts(TEN)
    later(2.5)

    ran = run_task(
        NumberLookupOperator,
        **FROM_CONTACTS,
        **WAIT,
        wait_timeout=0.5,
        deferrable=deferrable,
        retries=20,
        retry_delay=timedelta(seconds=0),
        max_age=timedelta(0),
    )

    assert ran.state == "success"
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)
    assert {row["status"] for row in database.rows("SELECT * FROM filed")} == {"ok"}
    assert {row["purchases"] for row in database.rows(f"SELECT * FROM {LEDGER}")} == {1}


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow before 3.3 has no task state store")
@WAYS
def test_a_retry_without_a_ledger_waits_for_the_ids_that_its_task_has(
    sandbox: Sandbox, later: Any, deferrable: bool
) -> None:
    later(2)
    ran = run_task(
        NumberLookupOperator,
        numbers=TEN,
        **WAIT,
        wait_timeout=0.5,
        deferrable=deferrable,
        retries=20,
        retry_delay=timedelta(seconds=0),
    )

    assert ran.state == "success"
    assert [row["status"] for row in ran.xcom] == ["ok"] * 10
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)


def test_execution_timeout_bounds_the_wait_too(
    sandbox: Sandbox, sqlite_database: Database, later: Any, said: Any
) -> None:
    sqlite_database.contacts(TEN)
    later(600)

    ran = run_task(NumberLookupOperator, **FROM_CONTACTS, **WAIT, execution_timeout=timedelta(seconds=12))

    assert ran.state == "failed"
    assert "10 submitted lookups have no answer yet" in said()


@pytest.mark.parametrize(
    ("wait_timeout", "execution_timeout", "seconds"),
    [(86_400, None, 86_400), (500, None, 500), (500, 300, 270), (5_000, 3_000, 2_940), (100, 300, 100)],
)
def test_the_deadline_is_set_before_the_task_is_deferred(
    sandbox: Sandbox,
    sqlite_database: Database,
    later: Any,
    wait_timeout: float,
    execution_timeout: float | None,
    seconds: float,
) -> None:
    sqlite_database.contacts(TEN)
    later(600)
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="dag",
        task_id="task",
        run_id="run",
        map_index=-1,
        xcom_push=lambda key, value: pushed.update({key: value}),
        task=SimpleNamespace(outlets=()),
    )
    operator = NumberLookupOperator(
        task_id="task",
        **FROM_CONTACTS,
        **WAIT,
        deferrable=True,
        wait_timeout=wait_timeout,
        execution_timeout=execution_timeout and timedelta(seconds=execution_timeout),
    )
    before = time.time()

    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({"ti": ti})

    path, values = deferred.value.trigger.serialize()
    assert values["deadline"] == pytest.approx(before + seconds, abs=5)
    # Airflow's own deferral timeout acts late, and skips what has to be done at the end.
    assert deferred.value.timeout is None
    assert deferred.value.method_name == "execute_complete"
    assert (values["result_table"], values["lookup_ids"]) == ("filed", None)
    kept = json.dumps([path, values, deferred.value.kwargs, pushed])
    assert json.loads(kept)
    assert not any(number[1:] in kept for number in TEN)
    assert sandbox.api_key not in kept
    assert "start_from_trigger" not in vars(operator)
    assert not operator.start_from_trigger
    statuses = sqlite_database.rows("SELECT DISTINCT status FROM filed")
    assert statuses == [{"status": "pending"}]


@pytest.mark.parametrize("event", [None, {}, {"status": "done"}, "success"])
def test_an_event_that_is_missing_or_unknown_is_refused(event: Any) -> None:
    operator = NumberLookupOperator(task_id="task", numbers=TEN, **WAIT)
    with pytest.raises(Exception, match="without an event that can be understood"):
        operator.execute_complete({}, event)


@WAYS
def test_a_refused_id_has_failed_and_counts_as_such(
    sandbox: Sandbox, database: Database, deferrable: bool
) -> None:
    database.contacts(TEN)
    for number in TEN[:2]:
        sandbox.fault("gone", number=number, endpoint="details")

    ran = run_task(NumberLookupOperator, **FROM_CONTACTS, **WAIT, deferrable=deferrable)

    assert ran.state == "failed"
    assert ran.summary is not None
    assert (ran.summary["ok"], ran.summary["failed"]) == (8, 2)
    rows = database.rows("SELECT * FROM filed WHERE status = 'failed'")
    assert {(row["reason"], row["response_code"]) for row in rows} == {("lookup_expired", "LKP410")}
    assert {row["raw_number"] for row in rows} == set(TEN[:2])


@WAYS
def test_a_refused_id_leaves_an_earlier_answer_in_place(
    sandbox: Sandbox, database: Database, deferrable: bool
) -> None:
    database.contacts(TEN[:1])
    run_task(NumberLookupOperator, **FROM_CONTACTS)
    (first,) = database.rows("SELECT * FROM filed")
    sandbox.fault("gone", number=TEN[0], endpoint="details")

    again = {**FROM_CONTACTS, **WAIT, "max_age": timedelta(0), "max_failed": 1}
    run_task(NumberLookupOperator, **again, deferrable=deferrable)

    for table in ("filed", LEDGER):
        (row,) = database.rows(f"SELECT * FROM {table}")
        assert (row["status"], row["reason"]) == ("failed", "lookup_expired")
        assert row["current_operator"] == first["current_operator"]
        assert row["answered_at"] == first["answered_at"]


def test_failures_up_to_max_failed_are_borne(sandbox: Sandbox, sqlite_database: Database) -> None:
    sqlite_database.contacts(TEN)
    sandbox.fault("gone", number=TEN[0], endpoint="details")

    ran = run_task(NumberLookupOperator, **FROM_CONTACTS, **WAIT)

    assert ran.state == "success"


@WAYS
def test_an_id_that_is_not_known_after_a_day_has_expired(
    sandbox: Sandbox, database: Database, deferrable: bool
) -> None:
    database.contacts(TEN[:2])
    run_task(NumberLookupOperator, **FROM_CONTACTS, **SUBMIT)
    sandbox.fault("not_found", number=TEN[0], endpoint="details")
    for table in (LEDGER, "filed"):
        age(database, table, timedelta(hours=25))

    ran = run_task(NumberLookupOperator, **FROM_CONTACTS, **WAIT, deferrable=deferrable, max_failed=1)

    assert ran.state == "success"
    rows = {row["raw_number"]: row for row in database.rows("SELECT * FROM filed")}
    assert (rows[TEN[0]]["status"], rows[TEN[0]]["reason"]) == ("failed", "lookup_expired")
    assert rows[TEN[1]]["status"] == "ok"


@WAYS
def test_ids_that_are_never_known_hint_at_the_path(
    sandbox: Sandbox, sqlite_database: Database, deferrable: bool, said: Any
) -> None:
    sqlite_database.contacts(TEN[:2])
    sandbox.fault("not_found", rate=1, endpoint="details")

    ran = run_task(NumberLookupOperator, **FROM_CONTACTS, **WAIT, wait_timeout=0.5, deferrable=deferrable)

    assert ran.state == "failed"
    assert "lookup_details_path" in said()


@WAYS
def test_a_path_that_does_not_exist_fails_at_once_without_a_retry(
    sandbox: Sandbox,
    sqlite_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    deferrable: bool,
    said: Any,
) -> None:
    from tests.conftest import kaleyra_connection

    wrong = kaleyra_connection(sandbox, lookup_details_path="/v9/{sid}/{lookup_id}")
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", wrong)
    sqlite_database.contacts(TEN)

    ran = run_task(
        NumberLookupOperator, **FROM_CONTACTS, **WAIT, deferrable=deferrable, retries=3, max_workers=1
    )

    assert ran.state == "failed"
    assert "lookup_details_path" in said()
    assert len([r for r in sandbox.account.requests if r.endpoint == "unknown"]) <= 2
    assert {row["status"] for row in sqlite_database.rows("SELECT * FROM filed")} == {"pending"}


def test_a_lost_answer_to_a_submission_is_in_doubt(sandbox: Sandbox, sqlite_database: Database) -> None:
    sqlite_database.contacts(TEN)
    sandbox.fault("reset", endpoint="submit")

    ran = run_task(NumberLookupOperator, **FROM_CONTACTS, **WAIT, batch_size=5, max_failed=1)

    assert ran.state == "success"
    assert ran.summary is not None
    assert (ran.summary["ok"], ran.summary["in_doubt"], ran.summary["asked"]) == (5, 5, 10)
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)


def test_two_runs_that_wait_for_the_same_rows_both_end_well(
    sandbox: Sandbox, database: Database, later: Any
) -> None:
    database.contacts(TEN)
    later(1)
    ran = run(
        lambda: [
            NumberLookupOperator(task_id=f"task{n}", **FROM_CONTACTS, **WAIT, deferrable=True) for n in (1, 2)
        ]
    )
    assert {one.state for one in ran.values()} == {"success"}
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)
    assert {row["status"] for row in database.rows("SELECT * FROM filed")} == {"ok"}
    assert {Decimal(str(row["spent"])) for row in database.rows(f"SELECT * FROM {LEDGER}")} == {
        Decimal("0.005")
    }


def test_a_run_whose_numbers_another_takes_over_never_tells_a_price_below_zero(
    sandbox: Sandbox, sqlite_database: Database
) -> None:
    sqlite_database.contacts(TEN)
    asking: dict[str, Any] = {**FROM_CONTACTS, "max_age": timedelta(0)}
    run_task(NumberLookupOperator, **asking)
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="dag",
        task_id="task",
        run_id="run",
        map_index=-1,
        xcom_push=lambda key, value: pushed.update({key: value}),
        xcom_pull=lambda key, **_: pushed[key],
        task=SimpleNamespace(outlets=()),
    )
    operator = NumberLookupOperator(task_id="task", **asking, **WAIT, deferrable=True)
    with pytest.raises(TaskDeferred):
        operator.execute({"ti": ti})
    run_task(LookupDetailsSensor, sql_conn_id="warehouse", result_table="filed", poke_interval=0.1)
    run_task(NumberLookupOperator, **asking)

    operator.execute_complete({"ti": ti}, {"status": "success", "requests": 0})

    assert Decimal(pushed["summary"]["price"]) >= 0


def test_mapped_tasks_share_a_submission(sandbox: Sandbox, database: Database) -> None:
    from airflow_provider_kaleyra.enrichment.plan import shards

    database.contacts([*TEN, *map(spelled, TEN)])
    ran = run(
        lambda: NumberLookupOperator.partial(task_id="task", **FROM_CONTACTS, **WAIT, deferrable=True).expand(
            shard=shards(3)
        )
    )

    assert {one.state for one in ran.values()} == {"success"}
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)
    assert {row["status"] for row in database.rows("SELECT * FROM filed")} == {"ok"}


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"mode": "later"}, "mode"),
        ({"wait_for_completion": True}, "wait_for_completion goes with mode"),
        ({"mode": "submit", "deferrable": True}, "deferrable goes with wait_for_completion"),
        ({"mode": "submit", "max_price": 5}, "max_price"),
        ({**WAIT, "poll_interval": 0}, "poll_interval"),
        ({**WAIT, "wait_timeout": -1}, "wait_timeout"),
        ({**WAIT, "wait_timeout": timedelta(hours=1)}, "wait_timeout"),
    ],
)
def test_what_cannot_be_meant_fails_when_the_dag_is_read(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        NumberLookupOperator(task_id="task", numbers=TEN, **parameters)


def test_poll_interval_is_the_time_between_rounds(sandbox: Sandbox, later: Any) -> None:
    later(2)
    run_task(NumberLookupOperator, numbers=TEN[:1], **{**WAIT, "poll_interval": 1})

    arrivals = [request.at for request in sandbox.account.requests if request.endpoint == "details"]
    assert len(arrivals) == 3
    assert arrivals[1] - arrivals[0] == pytest.approx(1, abs=0.3)
    assert arrivals[2] - arrivals[1] == pytest.approx(1.5, abs=0.3)


def test_an_id_that_nobody_can_expect_an_answer_of_does_not_keep_its_number_for_ever(
    sandbox: Sandbox, database: Database
) -> None:
    submitted: dict[str, Any] = {"numbers": TEN[:2], "ledger_conn_id": "warehouse"}
    run_task(NumberLookupOperator, **submitted, **SUBMIT)
    age(database, LEDGER, timedelta(days=6))
    soon = run_task(NumberLookupOperator, **submitted)
    assert soon.summary is not None
    assert (soon.summary["asked"], soon.summary["not_asked"]) == (0, 2)

    age(database, LEDGER, timedelta(days=8))
    held = run_task(NumberLookupOperator, **submitted, in_doubt="hold")
    assert held.summary is not None
    assert (held.summary["asked"], held.summary["in_doubt"]) == (0, 2)

    late = run_task(NumberLookupOperator, **submitted)
    assert late.summary is not None
    assert (late.summary["asked"], late.summary["ok"]) == (2, 2)
