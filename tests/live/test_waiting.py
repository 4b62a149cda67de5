"""Submitted lookups are awaited in a real triggerer, which dies half-way. Also runs on Airflow 2."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import pytest

from airflow_provider_kaleyra.sandbox import Sandbox
from tests.conftest import kaleyra_connection
from tests.live.deployment import ROOT, Airflow
from tests.live.support import shown_numbers
from tests.support.databases import Database, postgres
from tests.support.numbers import numbers

pytestmark = pytest.mark.live

DAG = "submit_and_wait"
PHONES = numbers(2_000)


@pytest.fixture(scope="module")
def warehouse(_postgres_server: str) -> Iterator[Database]:
    with postgres(_postgres_server, "live_waiting") as database:
        database.contacts(PHONES)
        yield database


@pytest.fixture(scope="module")
def airflow(
    warehouse: Database, _sandbox: Sandbox, _postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Airflow]:
    with Airflow(
        tmp_path_factory.mktemp("airflow"),
        _postgres_server,
        [ROOT / "example_dags" / f"{DAG}.py"],
        {
            "AIRFLOW_CONN_WAREHOUSE": warehouse.airflow_connection,
            "AIRFLOW_CONN_KALEYRA_DEFAULT": kaleyra_connection(_sandbox),
        },
        python=sys.executable,
        triggerer=True,
    ) as airflow:
        yield airflow


@pytest.fixture
def sandbox(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The service, with answers that come a while after the submission, and not all in one moment."""
    sandbox.settings.latency_ms, sandbox.settings.details_seconds = 20, 15
    yield sandbox
    sandbox.settings.latency_ms, sandbox.settings.details_seconds = 0, 0


def test_a_triggerer_that_dies_half_way_buys_nothing_again_and_no_worker_waits(
    airflow: Airflow, warehouse: Database, sandbox: Sandbox
) -> None:
    run = airflow.trigger(DAG)
    airflow.wait("the task's process", airflow.working)
    airflow.wait("deferral", lambda: airflow.tasks(DAG, run)[0]["state"] == "deferred")
    pool = airflow.api("GET", "/pools/default_pool")
    assert (pool["deferred_slots"], pool["running_slots"], pool["occupied_slots"]) == (1, 0, 0)
    airflow.wait("the end of the task's process", lambda: not airflow.working())

    airflow.wait("half of the answers", lambda: answered(warehouse) >= len(PHONES) / 2)
    airflow.kill("triggerer")
    half = answered(warehouse)
    assert half < len(PHONES)
    assert airflow.tasks(DAG, run)[0]["state"] == "deferred"
    assert airflow.working() == []
    airflow.start_triggerer()
    state = airflow.finish(DAG, run)

    assert state == "success"
    assert airflow.tasks(DAG, run)[0]["try_number"] == 1
    assert answered(warehouse) == len(PHONES)
    assert sandbox.account.purchases["number"] == Counter(PHONES)
    (spent,) = warehouse.rows("SELECT sum(spent) AS spent FROM kaleyra_number_ledger WHERE purchases = 1")
    assert Decimal(str(spent["spent"])) == sandbox.account.charged
    assert shown_numbers(airflow, sandbox) == []


def answered(warehouse: Database) -> int:
    """Give how many numbers have their answer."""
    (row,) = warehouse.rows("SELECT count(*) AS n FROM contacts_numbers WHERE status = 'ok'")
    return int(row["n"])
