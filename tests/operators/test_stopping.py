"""Runs that end before their time."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from sqlalchemy import create_engine, text

from airflow_provider_kaleyra.api.flight import Flight
from airflow_provider_kaleyra.cli import main as kaleyra_ledger
from airflow_provider_kaleyra.enrichment import filing
from airflow_provider_kaleyra.errors import StoppedError
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.sandbox import Sandbox
from airflow_provider_kaleyra.sensors.lookup_details import LookupDetailsSensor
from tests.support.airflow_runs import Said, run_task
from tests.support.databases import Database
from tests.support.numbers import numbers

PHONES = numbers(30)
LEDGER = "kaleyra_number_ledger"
PARAMETERS: dict[str, Any] = {
    "sql_conn_id": "warehouse",
    "source_table": "contacts",
    "number_column": "phone",
    "result_table": "filed",
    "batch_size": 2,
    "max_workers": 2,
}


@pytest.fixture(autouse=True)
def _latency(sandbox: Sandbox) -> Iterator[None]:
    sandbox.settings.latency_ms = 50
    yield
    sandbox.settings.latency_ms = 0


@contextmanager
def when_requests_have_left(sandbox: Sandbox, count: int, act: Callable[[], None]) -> Iterator[None]:
    """Act from another thread once so many requests have arrived."""

    def watch() -> None:
        pause = threading.Event()
        while len(sandbox.account.requests) < count:
            pause.wait(0.005)
        act()

    watching = threading.Thread(target=watch)
    watching.start()
    yield
    watching.join()


class Gone:
    """A database that can be taken away and brought back."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._file = Path(str(database.engine.url.database))
        self._hidden = self._file.with_suffix(".hidden")

    def take_away(self) -> None:
        if self._database.name == "sqlite":
            self._file.rename(self._hidden)
            self._file.mkdir()
        elif self._database.name == "mysql":
            name = self._database.engine.url.database
            self._database.execute(f"ALTER USER {name} ACCOUNT LOCK")
            self._database.execute(f"KILL USER {name}")
        else:
            name = self._database.engine.url.database
            self._tell_server(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            self._tell_server(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            )

    def bring_back(self) -> None:
        if self._database.name == "sqlite":
            self._file.rmdir()
            self._hidden.rename(self._file)
        elif self._database.name == "mysql":
            self._database.execute(f"ALTER USER {self._database.engine.url.database} ACCOUNT UNLOCK")
        else:
            self._tell_server(f'ALTER DATABASE "{self._database.engine.url.database}" ALLOW_CONNECTIONS true')
        self._database.engine.dispose()

    def _tell_server(self, statement: str) -> None:
        url = self._database.engine.url.set(database="postgres")
        server = create_engine(url, isolation_level="AUTOCOMMIT", future=True)
        with server.connect() as connection:
            connection.execute(text(statement))
        server.dispose()


def statuses(database: Database, table: str) -> dict[str, str]:
    rows = database.rows(f"SELECT phone_number, status FROM {table}")
    return {row["phone_number"]: row["status"] for row in rows}


def test_a_task_that_is_told_to_end_files_what_it_asked_and_the_next_run_begins_there(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(PHONES)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with when_requests_have_left(sandbox, 4, lambda: os.kill(os.getpid(), signal.SIGTERM)):
            ran = run_task(NumberLookupOperator, **PARAMETERS)
    finally:
        signal.signal(signal.SIGTERM, handler)

    bought = sandbox.account.purchases["number"]
    assert ran.state == "failed"
    assert 8 <= len(bought) < len(PHONES)
    assert statuses(database, "filed") == statuses(database, LEDGER) == dict.fromkeys(bought, "ok")
    assert ran.summary is not None
    assert (ran.summary["ok"], ran.summary["not_asked"]) == (len(bought), len(PHONES) - len(bought))

    run_task(NumberLookupOperator, **PARAMETERS)
    assert sandbox.account.purchases["number"] == dict.fromkeys(PHONES, 1)


def test_what_a_bulk_left_out_stays_in_the_ledger_when_the_task_is_told_to_end(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(numbers(100))
    sandbox.fault("missing", count=50, endpoint="bulk")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with when_requests_have_left(sandbox, 3, lambda: os.kill(os.getpid(), signal.SIGTERM)):
            run_task(RcsCapabilityOperator, **{**PARAMETERS, "batch_size": 500})
    finally:
        signal.signal(signal.SIGTERM, handler)

    purchases = database.rows("SELECT phone_number, purchases FROM kaleyra_rcs_ledger")
    bought = sandbox.account.purchases["rcs"]
    assert len(bought) == 100
    assert {row["phone_number"]: row["purchases"] for row in purchases} == bought


def test_what_a_timeout_kept_from_leaving_is_not_written_down_as_asked(
    sandbox: Sandbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.contacts(PHONES)
    submit = Flight.submit

    def strike_at_the_third(flight: Any, batch: Any) -> None:
        if sandbox.account.requests[1:]:
            raise AirflowTaskTimeout("too long")
        submit(flight, batch)

    monkeypatch.setattr(Flight, "submit", strike_at_the_third)
    run_task(NumberLookupOperator, **PARAMETERS, in_doubt="hold")

    bought = sandbox.account.purchases["number"]
    assert 0 < len(bought) < len(PHONES)
    assert statuses(database, LEDGER) == dict.fromkeys(bought, "ok")


def test_a_timeout_while_answers_are_filed_counts_their_price_once(
    sandbox: Sandbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.contacts(PHONES)
    settle = filing.Filing.settle
    struck = []

    def strike_once(self: filing.Filing, settled: Any, *args: Any) -> Any:
        if settled and not struck:
            struck.append(True)
            raise AirflowTaskTimeout("too long")
        return settle(self, settled, *args)

    monkeypatch.setattr(filing.Filing, "settle", strike_once)
    ran = run_task(NumberLookupOperator, **PARAMETERS)

    assert struck
    assert ran.summary is not None
    assert Decimal(ran.summary["price"]) == sandbox.account.charged > 0


def test_a_task_that_is_told_to_end_reads_no_further(
    sandbox: Sandbox, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_kaleyra.enrichment.run.CHUNK", 2)
    monkeypatch.setattr("airflow_provider_kaleyra.api.batches.WINDOW", 1)
    sqlite_database.contacts(PHONES)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with when_requests_have_left(sandbox, 2, lambda: os.kill(os.getpid(), signal.SIGTERM)):
            ran = run_task(NumberLookupOperator, **PARAMETERS)
    finally:
        signal.signal(signal.SIGTERM, handler)

    assert ran.state == "failed"
    assert ran.summary is not None
    assert 0 < ran.summary["inputs"] < len(PHONES)


def context() -> dict[str, Any]:
    """As much of a task's context as an operator needs."""
    task = SimpleNamespace(outlets=())
    ti = {"dag_id": "dag", "task_id": "task", "run_id": "run", "map_index": -1, "task": task}
    return {"ti": SimpleNamespace(**ti, xcom_push=lambda key, value: None)}


def test_a_task_that_is_told_to_end_does_not_wait_until_the_service_may_be_asked_again(
    sandbox: Sandbox, sqlite_database: Database
) -> None:
    sqlite_database.contacts(PHONES[:2])
    sandbox.fault("429", retry_after=20)
    operator = NumberLookupOperator(task_id="task", **PARAMETERS)
    began = time.monotonic()

    with when_requests_have_left(sandbox, 1, operator.on_kill), pytest.raises(StoppedError):
        operator.execute(context())

    assert time.monotonic() - began < 15
    assert statuses(sqlite_database, "filed") == statuses(sqlite_database, LEDGER) == {}
    assert not sandbox.account.purchases["number"]


def test_a_task_that_waits_for_submitted_lookups_ends_at_once_when_it_is_told_to(
    sandbox: Sandbox, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.settings, "details_seconds", 600)
    sqlite_database.contacts(PHONES[:2])
    operator = NumberLookupOperator(
        task_id="task",
        **PARAMETERS,
        mode="submit",
        wait_for_completion=True,
        poll_interval=20,
        wait_timeout=20,
    )
    began = time.monotonic()

    # The submission, and a question about each of its two numbers.
    with when_requests_have_left(sandbox, 3, operator.on_kill), pytest.raises(StoppedError):
        operator.execute(context())

    assert time.monotonic() - began < 15
    assert statuses(sqlite_database, "filed") == dict.fromkeys(PHONES[:2], "pending")


@pytest.fixture
def told_to_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Have the task told to end while it connects to the service, the n-th time."""
    connect, handler = KaleyraHook.get_conn, signal.getsignal(signal.SIGTERM)

    def at(time: int) -> None:
        times = itertools.count(1)

        def connect_and_be_told(hook: KaleyraHook) -> Any:
            if next(times) == time:
                os.kill(os.getpid(), signal.SIGTERM)
            return connect(hook)

        monkeypatch.setattr(KaleyraHook, "get_conn", connect_and_be_told)

    yield at
    signal.signal(signal.SIGTERM, handler)


def test_a_task_that_is_told_to_end_while_it_prepares_asks_nothing(
    sandbox: Sandbox, sqlite_database: Database, told_to_end: Callable[[int], None]
) -> None:
    sqlite_database.contacts(PHONES)
    told_to_end(1)

    ran = run_task(NumberLookupOperator, **PARAMETERS)

    assert ran.state == "failed"
    assert sandbox.account.requests == []

    run_task(NumberLookupOperator, **PARAMETERS)
    assert sandbox.account.purchases["number"] == dict.fromkeys(PHONES, 1)


def test_a_task_that_is_told_to_end_before_it_waits_asks_nothing_more(
    sandbox: Sandbox, sqlite_database: Database, told_to_end: Callable[[int], None]
) -> None:
    sqlite_database.contacts(PHONES)
    told_to_end(2)

    ran = run_task(
        NumberLookupOperator, **PARAMETERS, mode="submit", wait_for_completion=True, poll_interval=0.1
    )

    assert ran.state == "failed"
    assert {request.endpoint for request in sandbox.account.requests} == {"submit"}


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_a_sensor_that_is_told_to_end_before_it_waits_asks_nothing(
    sandbox: Sandbox, told_to_end: Callable[[int], None], mode: str
) -> None:
    ids = KaleyraHook().submit_number_lookup(PHONES).lookup_ids
    told_to_end(1)

    ran = run_task(LookupDetailsSensor, lookup_id=list(ids.values()), poke_interval=0.1, mode=mode, retries=0)

    assert ran.state == "failed"
    assert {request.endpoint for request in sandbox.account.requests} == {"submit"}


def test_a_database_that_comes_back_is_waited_for(
    sandbox: Sandbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.contacts(PHONES)
    there = Gone(database)
    waits: list[float] = []

    def back_after_the_second_wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            there.bring_back()

    monkeypatch.setattr(filing.time, "sleep", back_after_the_second_wait)
    with when_requests_have_left(sandbox, 3, there.take_away):
        ran = run_task(NumberLookupOperator, **PARAMETERS)

    assert ran.state == "success"
    assert waits == [1, 2]
    assert sandbox.account.purchases["number"] == dict.fromkeys(PHONES, 1)
    assert statuses(database, "filed") == dict.fromkeys(PHONES, "ok")


def test_answers_that_a_lost_database_cannot_take_are_kept_and_filed_later(
    sandbox: Sandbox, database: Database, said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(filing, "PATIENCE", (0.01,))
    monkeypatch.setattr(filing, "PATIENCE_AT_THE_END", ())
    database.contacts(PHONES)
    there = Gone(database)
    with when_requests_have_left(sandbox, 3, there.take_away):
        ran = run_task(NumberLookupOperator, **PARAMETERS)
    there.bring_back()

    (kept,) = (tmp_path / "home" / "kaleyra").glob("*.jsonl")
    bought = sandbox.account.purchases["number"]
    assert ran.state == "failed"
    assert str(kept) in said()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "requested" in statuses(database, LEDGER).values()

    assert kaleyra_ledger(["file", str(kept)]) == 0

    assert not kept.exists()
    assert statuses(database, "filed") == statuses(database, LEDGER) == dict.fromkeys(bought, "ok")
    run_task(NumberLookupOperator, **PARAMETERS)
    assert sandbox.account.purchases["number"] == dict.fromkeys(PHONES, 1)


def test_released_numbers_are_asked_about_again_although_doubts_are_held(
    sandbox: Sandbox, database: Database, said: Said
) -> None:
    database.contacts(PHONES[:2])
    sandbox.fault("empty")
    run_task(NumberLookupOperator, **PARAMETERS, max_failed=1)
    held = run_task(NumberLookupOperator, **PARAMETERS, in_doubt="hold")
    assert held.summary is not None
    assert (held.summary["asked"], held.summary["in_doubt"]) == (0, 2)
    told = said()
    assert "2 numbers are held" in told
    assert "kaleyra-ledger release" in told

    assert kaleyra_ledger(["release", "--conn-id", "warehouse", "--api", "number"]) == 0

    ran = run_task(NumberLookupOperator, **PARAMETERS, in_doubt="hold")
    assert ran.summary is not None
    assert (ran.summary["asked"], ran.summary["ok"]) == (2, 2)


def test_answers_that_only_the_result_table_refuses_are_in_the_ledger_and_are_not_bought_again(
    sandbox: Sandbox, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(filing, "PATIENCE", ())
    monkeypatch.setattr(filing, "PATIENCE_AT_THE_END", ())
    database.contacts(PHONES)
    run_task(NumberLookupOperator, **{**PARAMETERS, "numbers": ["none"], "source_table": None})
    with when_requests_have_left(sandbox, 1, lambda: database.execute("ALTER TABLE filed RENAME TO away")):
        ran = run_task(NumberLookupOperator, **PARAMETERS)

    bought = dict(sandbox.account.purchases["number"])
    assert ran.state == "failed"
    assert statuses(database, LEDGER) == dict.fromkeys(bought, "ok")

    database.execute("ALTER TABLE away RENAME TO filed")
    run_task(NumberLookupOperator, **PARAMETERS)
    assert sandbox.account.purchases["number"] == dict.fromkeys(PHONES, 1)


def test_a_retry_files_what_an_earlier_try_has_kept_and_buys_only_the_rest(
    sandbox: Sandbox, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(filing, "PATIENCE", ())
    monkeypatch.setattr(filing, "PATIENCE_AT_THE_END", ())
    database.contacts(PHONES)
    there = Gone(database)
    with when_requests_have_left(sandbox, 3, there.take_away):
        ran = run_task(
            NumberLookupOperator,
            **PARAMETERS,
            retries=1,
            retry_delay=timedelta(0),
            on_retry_callback=lambda _: there.bring_back(),
        )

    assert ran.state == "success"
    assert sandbox.account.purchases["number"] == dict.fromkeys(PHONES, 1)
    assert statuses(database, "filed") == statuses(database, LEDGER) == dict.fromkeys(PHONES, "ok")
    spent = [Decimal(str(row["spent"])) for row in database.rows(f"SELECT spent FROM {LEDGER}")]
    assert sum(spent) == sandbox.account.charged
    assert not list((tmp_path / "home" / "kaleyra").glob("*"))
