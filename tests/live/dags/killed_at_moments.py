"""Mapped tasks that each kill themselves at a moment of their first try; the plan says which.

The second try first keeps what the first has left in the ledger, in a table of its own.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseHook
from sqlalchemy import inspect, text

from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator

OPERATORS = {"rcs": RcsCapabilityOperator, "number": NumberLookupOperator}
FOLDER = Path(os.environ["LIVE_FOLDER"])
PLAN: dict[str, dict[str, list[dict[str, Any]]]] = json.loads((FOLDER / "plan.json").read_text())


def prepare(context: Any) -> None:
    """Arm the first try, or look at what it has left behind."""
    ti = context["ti"]
    plan = PLAN[ti.dag_id][ti.task_id][ti.map_index]
    if ti.try_number == 1:
        from tests.support.moments import Moments

        Moments(plan["fatal"], (FOLDER / f"{ti.dag_id}-{ti.task_id}-{ti.map_index}").touch).watch()
    else:
        keep(plan, f"kaleyra_{ti.task_id}_ledger", f"{ti.dag_id}/{ti.task_id}/{ti.run_id}/{ti.map_index}")


def keep(plan: dict[str, Any], ledger: str, run: str) -> None:
    engine = BaseHook.get_connection(plan["parameters"]["sql_conn_id"]).get_hook().get_sqlalchemy_engine()
    if inspect(engine).has_table(ledger):
        with engine.begin() as connection:
            rows = f"SELECT * FROM {ledger} WHERE run_id = '{run}'"
            connection.execute(text(f"CREATE TABLE {plan['left']} AS {rows}"))
    engine.dispose()


def kill_and_retry(dag_id: str) -> None:
    with DAG(dag_id, schedule=None):
        for api, plans in PLAN[dag_id].items():
            OPERATORS[api].partial(
                task_id=api,
                retries=1,
                retry_delay=timedelta(0),
                pre_execute=prepare,
            ).expand_kwargs([plan["parameters"] for plan in plans])


for name in PLAN:
    kill_and_retry(name)
