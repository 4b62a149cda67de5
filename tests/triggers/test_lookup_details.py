"""The trigger: it asks and never buys, holds nothing up, and may run as often as it likes."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_kaleyra.api import retry
from airflow_provider_kaleyra.api.models import Details
from airflow_provider_kaleyra.enrichment import waiting
from airflow_provider_kaleyra.enrichment.waiting import PendingList, Question, Waiting, interval
from airflow_provider_kaleyra.errors import NothingSentError
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.sandbox import Sandbox
from airflow_provider_kaleyra.triggers.lookup_details import LookupDetailsTrigger
from tests.conftest import kaleyra_connection
from tests.support.databases import Database
from tests.support.numbers import numbers

TEN = numbers(10)
LEDGER = "kaleyra_number_ledger"


class Ti:
    """As much of a task instance as an operator needs."""

    dag_id, task_id, run_id, map_index = "dag", "task", "run", -1

    def __init__(self) -> None:
        self.task = type("Task", (), {"outlets": ()})()

    def xcom_push(self, key: str, value: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def _retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.001)


@pytest.fixture
def pending(sandbox: Sandbox, database: Database) -> Database:
    """A result table with ten pending rows."""
    database.contacts(TEN)
    submit()
    return database


def submit() -> None:
    NumberLookupOperator(
        task_id="task",
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        result_table="filed",
        mode="submit",
    ).execute({"ti": Ti()})


def trigger(**parameters: Any) -> LookupDetailsTrigger:
    given = {
        "kaleyra_conn_id": "kaleyra_default",
        "poll_interval": 0.05,
        "deadline": time.time() + 60,
        "sql_conn_id": "warehouse",
        "result_table": "filed",
        **parameters,
    }
    if "lookup_ids" in parameters:
        given |= {"sql_conn_id": None, "result_table": None}
    return LookupDetailsTrigger(**given)


async def one_event(of: LookupDetailsTrigger) -> dict[str, Any]:
    events = [event.payload async for event in of.run()]
    assert len(events) == 1
    return dict(events[0])


def event_of(of: LookupDetailsTrigger) -> dict[str, Any]:
    return asyncio.run(one_event(of))


def spent(database: Database) -> set[Decimal]:
    return {Decimal(str(row["spent"])) for row in database.rows(f"SELECT spent FROM {LEDGER}")}


def test_law_5_a_trigger_never_buys(sandbox: Sandbox, pending: Database) -> None:
    """Whatever the service answers, and however often it runs, it only asks by id."""
    before = len(sandbox.account.requests)
    bought, charged = sandbox.account.purchases, sandbox.account.charged
    for kind in ("not_found", "pending", "json_error", "reset", "empty", "429"):
        sandbox.fault(kind, endpoint="details", times=3)

    for _ in range(3):
        event_of(trigger(deadline=time.time() + 5))

    requests = sandbox.account.requests[before:]
    assert {request.endpoint for request in requests} == {"details"}
    assert not any(request.purchased for request in requests)
    assert (sandbox.account.purchases, sandbox.account.charged) == (bought, charged)


def test_rows_are_settled_as_they_come_and_the_event_counts_them(sandbox: Sandbox, pending: Database) -> None:
    event = event_of(trigger())

    assert (event["status"], event["ok"], event["pending"], event["requests"]) == ("success", 10, 0, 10)
    assert {row["status"] for row in pending.rows("SELECT status FROM filed")} == {"ok"}
    assert spent(pending) == {Decimal("0.005")}
    assert not any(number[1:] in json.dumps(event) for number in TEN)


def test_running_twice_changes_nothing(sandbox: Sandbox, pending: Database) -> None:
    event_of(trigger())
    before = pending.rows("SELECT * FROM filed"), pending.rows(f"SELECT * FROM {LEDGER}")

    event_of(trigger())

    assert (pending.rows("SELECT * FROM filed"), pending.rows(f"SELECT * FROM {LEDGER}")) == before
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)


def test_two_at_a_time_add_the_price_once(sandbox: Sandbox, pending: Database) -> None:
    async def both() -> list[dict[str, Any]]:
        return await asyncio.gather(one_event(trigger()), one_event(trigger()))

    events = asyncio.run(both())

    assert {event["status"] for event in events} == {"success"}
    assert spent(pending) == {Decimal("0.005")}
    assert {row["purchases"] for row in pending.rows(f"SELECT * FROM {LEDGER}")} == {1}


def test_a_trigger_that_ends_half_way_is_replayed_harmlessly(sandbox: Sandbox, pending: Database) -> None:
    for number in TEN[:5]:
        sandbox.fault("pending", number=number, endpoint="details")

    async def half() -> None:
        task = asyncio.ensure_future(one_event(trigger()))
        while len(pending.rows("SELECT * FROM filed WHERE status = 'ok'")) < 5:
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(half())
    sandbox.clear_faults()
    event = event_of(trigger())

    assert (event["status"], event["ok"]) == ("success", 5)
    assert spent(pending) == {Decimal("0.005")}
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)


def test_a_cancelled_trigger_asks_nothing_more_and_its_thread_ends(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = list(KaleyraHook().submit_number_lookup(numbers(200)).lookup_ids.values())
    monkeypatch.setattr(sandbox.settings, "latency_ms", 100)

    async def cancel_early() -> int:
        task = asyncio.ensure_future(one_event(trigger(lookup_ids=ids)))
        while len(sandbox.account.requests) < 20:
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(sandbox.account.requests)

    asked = asyncio.run(cancel_early())
    for thread in threading.enumerate():
        if thread.name.startswith("kaleyra-trigger"):
            thread.join(5)
            assert not thread.is_alive()
    assert len(sandbox.account.requests) <= asked + 8


def test_nothing_blocks_the_loop(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another trigger's one-second tick keeps its time while 1,000 ids take 2 s each."""
    hook = KaleyraHook()
    phones = numbers(1000)
    ids = [i for n in (0, 500) for i in hook.submit_number_lookup(phones[n : n + 500]).lookup_ids.values()]
    monkeypatch.setattr(sandbox.settings, "latency_ms", 2000)

    async def lateness() -> list[float]:
        late: list[float] = []

        async def tick() -> None:
            while True:
                due = time.monotonic() + 1
                await asyncio.sleep(1)
                late.append(time.monotonic() - due)

        ticking = asyncio.ensure_future(tick())
        event = await one_event(trigger(lookup_ids=ids, max_workers=128))
        ticking.cancel()
        assert (event["status"], event["ok"]) == ("success", 1000)
        assert len(late) >= 14
        return late

    # A busy machine is late at times; a call that blocks would be each time.
    assert any(max(asyncio.run(lateness())) < 0.1 for _ in range(4))


def test_the_deadline_ends_it_with_what_is_missing(sandbox: Sandbox, pending: Database) -> None:
    for number in TEN[:4]:
        sandbox.fault("pending", number=number, endpoint="details")
    began = time.time()

    event = event_of(trigger(deadline=began + 1))

    assert time.time() - began < 5
    assert (event["status"], event["pending"]) == ("timeout", 4)
    assert "4 submitted lookups have no answer yet" in event["message"]
    assert len(pending.rows("SELECT * FROM filed WHERE status = 'ok'")) == 6


def test_some_failed_rounds_are_borne_and_too_many_are_an_error_event(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lookup_id,) = KaleyraHook().submit_number_lookup(TEN[:1]).lookup_ids.values()
    sandbox.fault("reset", endpoint="details", times=5 * waiting.FAILED_ROUNDS, at=1)
    assert event_of(trigger(lookup_ids=[lookup_id], poll_interval=0.01))["status"] == "success"

    sandbox.fault("reset", endpoint="details", times=5 * (waiting.FAILED_ROUNDS + 1), at=1)
    event = event_of(trigger(lookup_ids=[lookup_id], poll_interval=0.01))
    assert (event["status"], event["for_good"]) == ("error", False)
    assert "answer was lost" in event["message"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kaleyra_conn_id": "nobody_knows_it"}, "NotFound"),
        ({"result_table": "nothing"}, "nothing does not exist"),
    ],
)
def test_whatever_is_wrong_is_an_error_event(
    sandbox: Sandbox, pending: Database, parameters: dict[str, Any], message: str
) -> None:
    event = event_of(trigger(**parameters))
    assert event["status"] == "error"
    assert message in event["message"]


def test_an_error_that_no_retry_can_help_says_so(
    sandbox: Sandbox, pending: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = kaleyra_connection(sandbox, lookup_details_path="/v9/{sid}/{lookup_id}")
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", wrong)

    event = event_of(trigger())

    assert (event["status"], event["for_good"]) == ("error", True)
    assert "lookup_details_path" in event["message"]
    assert {row["status"] for row in pending.rows("SELECT status FROM filed")} == {"pending"}


def test_only_the_rows_of_its_run_are_asked_about(sandbox: Sandbox, pending: Database) -> None:
    event = event_of(trigger(run_id="another/task/run"))
    assert (event["status"], event["requests"]) == ("success", 0)
    assert event_of(trigger(run_id="dag/task/run"))["ok"] == 10


def test_a_serialized_trigger_is_the_same_trigger(sandbox: Sandbox) -> None:
    one = trigger(run_id="r", max_interval=3.0, max_workers=5)
    path, values = one.serialize()
    assert path.endswith("LookupDetailsTrigger")
    assert json.loads(json.dumps(values)) == values
    assert LookupDetailsTrigger(**values).serialize() == one.serialize()


def test_a_database_that_is_gone_is_an_error_event_without_a_number(
    sandbox: Sandbox, sqlite_database: Database
) -> None:
    sqlite_database.contacts(TEN)
    submit()
    sqlite_database.execute(f"ALTER TABLE {LEDGER} RENAME COLUMN spent TO lost")

    event = event_of(trigger())

    assert event["status"] == "error"
    assert not any(number[1:] in event["message"] for number in TEN)
    assert {row["status"] for row in sqlite_database.rows("SELECT status FROM filed")} == {"pending"}


def test_the_interval_grows_to_its_most() -> None:
    assert [interval(30, n) for n in range(8)] == [30, 45, 67.5, 101.25, 151.875, 227.8125, 300, 300]
    assert interval(30, 10_000) == 300
    assert [interval(30, n, 50) for n in range(3)] == [30, 45, 50]
    assert interval(30, 5, 30) == 30


class Down:
    """A service that nobody reaches."""

    requests_sent = 0

    def ask_details(self, lookup_id: str, number: str | None = None) -> Details:
        self.requests_sent += 1
        raise NothingSentError("No connection")

    def stop(self) -> None:
        pass


def test_a_round_ends_early_when_nobody_answers() -> None:
    service = Down()
    many = PendingList(Question(f"x:{n}") for n in range(10_000))
    with pytest.raises(NothingSentError):
        Waiting(service, many, max_workers=4).round()
    assert service.requests_sent < 50


def test_what_came_before_nobody_answered_is_filed(sandbox: Sandbox, pending: Database) -> None:
    sandbox.fault("refuse", at=6, times=1000, endpoint="details")
    event = event_of(trigger(max_workers=1, poll_interval=0.01))

    assert event["status"] == "error"
    statuses = Counter(row["status"] for row in pending.rows("SELECT status FROM filed"))
    assert statuses == {"ok": 5, "pending": 5}
