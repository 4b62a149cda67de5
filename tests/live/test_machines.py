"""Several machines under the CeleryExecutor: one dies while it buys, and Airflow goes on without it."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_kaleyra.sandbox import Sandbox
from tests.conftest import kaleyra_connection
from tests.live.deployment import ROOT, Airflow
from tests.live.support import shown_numbers
from tests.support.databases import Database, postgres
from tests.support.laws import Aftermath, by_number
from tests.support.numbers import numbers, spelled

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        not shutil.which("redis-server"),
        reason="redis-server is missing: nothing was tested on several machines, under the CeleryExecutor",
    ),
]

DAG_FILE = Path(__file__).parent / "dags" / "shards.py"
EXAMPLE = ROOT / "example_dags" / "enrich_in_shards.py"
LEDGER = "kaleyra_number_ledger"
PHONES = numbers(3_000)
SPELLINGS = [*PHONES, *(spelled(number) for number in PHONES[::10]), "nonsense"]
BATCH_SIZE, MAX_WORKERS, LATENCY_MS = 10, 2, 300


@pytest.fixture(scope="module")
def warehouses(_postgres_server: str) -> Iterator[dict[str, Database]]:
    with (
        postgres(_postgres_server, "live_hold") as hold,
        postgres(_postgres_server, "live_rebuy") as rebuy,
        postgres(_postgres_server, "live_contacts") as contacts,
    ):
        yield {"WAREHOUSE_HOLD": hold, "WAREHOUSE_REBUY": rebuy, "WAREHOUSE": contacts}


@pytest.fixture(scope="module")
def airflow(
    warehouses: dict[str, Database],
    _sandbox: Sandbox,
    _postgres_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Airflow]:
    """Three machines with two tasks each."""
    connections = {name: one.airflow_connection for name, one in warehouses.items()}
    connections["KALEYRA_DEFAULT"] = kaleyra_connection(_sandbox)
    folder = tmp_path_factory.mktemp("airflow")
    example = folder / EXAMPLE.name
    example.write_text(EXAMPLE.read_text().replace('schedule="@daily"', "schedule=None"))
    with Airflow(
        folder,
        _postgres_server,
        [DAG_FILE, example],
        {f"AIRFLOW_CONN_{name}": value for name, value in connections.items()},
        python=sys.executable,
        machines=3,
    ) as airflow:
        yield airflow


def test_the_example_shares_a_table_out_to_the_machines_and_buys_each_number_once(
    airflow: Airflow, warehouses: dict[str, Database], sandbox: Sandbox
) -> None:
    database, phones = warehouses["WAREHOUSE"], PHONES[:1_000]
    database.contacts(phones)
    database.execute(
        "ALTER TABLE contacts ADD rcs_enabled BOOLEAN, ADD rcs_checked_at TIMESTAMP, ADD phone_e164 TEXT, "
        "ADD phone_problem TEXT, ADD carrier_country TEXT, ADD ported BOOLEAN"
    )

    run = airflow.trigger("enrich_in_shards")
    state = airflow.finish("enrich_in_shards", run)

    assert state == "success"
    tasks = airflow.tasks("enrich_in_shards", run)
    assert len(tasks) == 16
    assert len({task["hostname"] for task in tasks}) > 1
    assert sandbox.account.purchases == {api: Counter(phones) for api in ("rcs", "number")}
    written = "rcs_checked_at IS NOT NULL AND phone_e164 = phone AND carrier IS NOT NULL"
    assert database.rows(f"SELECT count(*) AS n FROM contacts WHERE {written}") == [{"n": 1_000}]


@pytest.fixture
def slow_sandbox(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The service, taking its time, so that there is a while in which to die."""
    sandbox.settings.latency_ms = LATENCY_MS
    yield sandbox
    sandbox.settings.latency_ms = 0


@pytest.mark.parametrize("in_doubt", ["hold", "rebuy"])
def test_a_machine_that_dies_while_it_buys_loses_nothing_and_the_others_finish_its_shards(
    in_doubt: str, airflow: Airflow, warehouses: dict[str, Database], slow_sandbox: Sandbox
) -> None:
    dag, database = f"shards_{in_doubt}", warehouses[f"WAREHOUSE_{in_doubt.upper()}"]
    database.contacts(SPELLINGS)
    run = airflow.trigger(dag)
    airflow.wait("purchases", lambda: slow_sandbox.account.purchases["number"].total() >= len(PHONES) / 10)

    machine = buying_machine(airflow, dag, run, database)
    airflow.kill(machine)
    its_shards = {
        task["map_index"]
        for task in airflow.tasks(dag, run)
        if task["state"] == "running" and task["hostname"] == machine
    }
    of_its_shards = " OR ".join(f"run_id LIKE '%/{map_index}'" for map_index in its_shards)
    before = by_number(database.rows(f"SELECT * FROM {LEDGER} WHERE {of_its_shards}"))
    state = airflow.finish(dag, run)

    assert state == "success"
    assert 1 <= len(its_shards) <= 2
    for task in airflow.tasks(dag, run):
        was_there = task["map_index"] in its_shards
        assert (task["state"], task["try_number"]) == ("success", 2 if was_there else 1)
        assert not was_there or task["hostname"] != machine
    bought = slow_sandbox.account.purchases["number"]
    requests = len(slow_sandbox.account.requests)

    # What two shards left to each other, a number in two spellings, is the next run's, and costs nothing.
    airflow.start_machine(int(machine[-1]))
    assert airflow.finish(dag, airflow.trigger(dag)) == "success"
    assert len(slow_sandbox.account.requests) == requests
    left = Aftermath(
        in_doubt,
        bought,
        before,
        by_number(database.rows(f"SELECT * FROM {LEDGER}")),
        database.rows("SELECT * FROM filed"),
        slow_sandbox.settings.price,
    )
    assert 0 < len(left.doubtful) <= len(its_shards) * MAX_WORKERS * BATCH_SIZE
    left.obeys_the_laws(PHONES, SPELLINGS)
    assert shown_numbers(airflow, slow_sandbox) == []


def buying_machine(airflow: Airflow, dag: str, run: str, database: Database) -> str:
    """Give a machine with requests on their way."""
    found: Counter[str] = Counter()

    def buying() -> Counter[str]:
        claims = f"SELECT run_id FROM {LEDGER} WHERE status = 'requested'"
        shards = Counter(int(row["run_id"].rpartition("/")[2]) for row in database.rows(claims))
        for task in airflow.tasks(dag, run):
            if task["state"] == "running" and task["hostname"].startswith("machine"):
                found[task["hostname"]] += shards[task["map_index"]]
        return +found

    airflow.wait("a machine that buys", buying)
    return found.most_common(1)[0][0]
