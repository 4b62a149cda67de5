"""`kill -9` of real tasks at any moment, then Airflow's own retry."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect

from airflow_provider_kaleyra.sandbox import Sandbox
from tests.conftest import kaleyra_connection
from tests.crash.worker import Try
from tests.live.deployment import Airflow
from tests.live.support import shown_numbers
from tests.support.databases import Database, postgres, sqlite
from tests.support.laws import Aftermath, by_number
from tests.support.numbers import numbers, spelled

pytestmark = pytest.mark.live

DAGS = Path(__file__).parent / "dags"
WAREHOUSES = ["sqlite", "postgres"]
MOMENTS = {"number": 40, "rcs": 5}
PHONES = 24


@dataclass(frozen=True)
class Doomed:
    """A task that is killed once, with a table of contacts of its own."""

    warehouse: str
    api: str
    map_index: int
    in_doubt: str
    fatal: int
    phones: list[str]

    @property
    def name(self) -> str:
        return f"{self.api}_{self.map_index}"

    @property
    def spellings(self) -> list[str]:
        return [*self.phones, *(spelled(number) for number in self.phones[::10]), "nonsense"]

    @property
    def plan(self) -> dict[str, Any]:
        return {"fatal": self.fatal, "left": f"left_{self.name}", "parameters": self.parameters}

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "sql_conn_id": f"warehouse_{self.warehouse}",
            "source_table": f"contacts_{self.name}",
            "number_column": "phone",
            "result_table": f"filed_{self.name}",
            "in_doubt": self.in_doubt,
            "batch_size": 4,
            "max_workers": 3,
            "max_failed": 1,
        }


@pytest.fixture(scope="module")
def warehouses(
    tmp_path_factory: pytest.TempPathFactory, _postgres_server: str
) -> Iterator[dict[str, Database]]:
    with (
        sqlite(tmp_path_factory.mktemp("warehouse") / "warehouse.db") as one,
        postgres(_postgres_server, "live_kill") as other,
    ):
        yield {"sqlite": one, "postgres": other}


@pytest.fixture(scope="module")
def environment(_sandbox: Sandbox, warehouses: dict[str, Database]) -> Iterator[dict[str, str]]:
    connections = {"KALEYRA_DEFAULT": kaleyra_connection(_sandbox)}
    connections |= {f"WAREHOUSE_{name.upper()}": one.airflow_connection for name, one in warehouses.items()}
    environment = {f"AIRFLOW_CONN_{name}": value for name, value in connections.items()}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment


@pytest.fixture(scope="module")
def doomed(
    warehouses: dict[str, Database], environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> list[Doomed]:
    """Draw each task's moment from those that a whole run passes, and give each its contacts."""
    found = []
    folder = tmp_path_factory.mktemp("whole")
    for warehouse, database in warehouses.items():
        phones = iter(numbers(20_000))
        for api, count in MOMENTS.items():
            whole = Doomed(warehouse, api, 999, "rebuy", 0, list(islice(phones, PHONES)))
            database.contacts(whole.spellings, f"contacts_{whole.name}")
            report = Try(folder, api, "whole", whole.parameters).end()
            assert report is not None
            assert report["error"] is None
            moments = random.Random(f"{warehouse}{api}").sample(range(1, report["moments"]), count)
            for map_index, (fatal, in_doubt) in enumerate(product(moments, ["hold", "rebuy"])):
                one = Doomed(warehouse, api, map_index, in_doubt, fatal, list(islice(phones, PHONES)))
                database.contacts(one.spellings, f"contacts_{one.name}")
                found.append(one)
    return found


@pytest.fixture(scope="module")
def airflow(
    doomed: list[Doomed],
    environment: dict[str, str],
    _postgres_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Airflow]:
    folder = tmp_path_factory.mktemp("airflow")
    plan = {
        f"killed_on_{warehouse}": {
            api: [one.plan for one in doomed if (one.warehouse, one.api) == (warehouse, api)]
            for api in MOMENTS
        }
        for warehouse in WAREHOUSES
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    with Airflow(
        folder,
        _postgres_server,
        [DAGS / "killed_at_moments.py"],
        {**environment, "LIVE_FOLDER": str(folder)},
        python=sys.executable,
        tasks=4,
    ) as airflow:
        yield airflow


@pytest.mark.parametrize("warehouse", WAREHOUSES)
def test_tasks_killed_at_any_moment_lose_nothing_and_airflows_retry_buys_only_what_it_may(
    warehouse: str,
    airflow: Airflow,
    doomed: list[Doomed],
    warehouses: dict[str, Database],
    sandbox: Sandbox,
) -> None:
    dag, database = f"killed_on_{warehouse}", warehouses[warehouse]
    doomed = [one for one in doomed if one.warehouse == warehouse]

    run = airflow.trigger(dag)
    state = airflow.finish(dag, run, seconds=1200)

    tasks = {(task["task_id"], task["map_index"]): task for task in airflow.tasks(dag, run)}
    killed = {one.name for one in doomed if (airflow.folder / f"{dag}-{one.api}-{one.map_index}").exists()}
    assert state == "success"
    assert len(killed) >= 0.9 * len(doomed)
    for one in doomed:
        task = tasks[one.api, one.map_index]
        assert (task["state"], task["try_number"]) == ("success", 2 if one.name in killed else 1)
        aftermath(one, database, sandbox).obeys_the_laws(one.phones, one.spellings)
    assert shown_numbers(airflow, sandbox) == []


def aftermath(one: Doomed, database: Database, sandbox: Sandbox) -> Aftermath:
    account = sandbox.account.purchases[one.api]
    bought = Counter({number: account[number] for number in one.phones if number in account})
    left = f"left_{one.name}"
    ledger = f"SELECT * FROM kaleyra_{one.api}_ledger WHERE run_id LIKE '%/{one.map_index}'"
    return Aftermath(
        one.in_doubt,
        bought,
        by_number(database.rows(f"SELECT * FROM {left}")) if inspect(database.engine).has_table(left) else {},
        by_number(database.rows(ledger)),
        database.rows(f"SELECT * FROM filed_{one.name}"),
        sandbox.settings.price if one.api == "number" else None,
    )
