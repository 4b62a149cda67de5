"""DAGs run through Airflow itself, in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import import_module
from typing import Any
from uuid import uuid4

from airflow.exceptions import AirflowTaskTerminated
from airflow.providers.common.compat.sdk import DAG, AirflowTaskTimeout
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_2_PLUS


def make_metadata_database() -> None:
    from airflow.utils.db import initdb

    initdb()
    if AIRFLOW_V_3_0_PLUS and not AIRFLOW_V_3_2_PLUS:
        from airflow.sdk.execution_time import supervisor

        # It makes an API server for each task that `dag.test()` runs, and seconds go into one.
        supervisor.in_process_api_server = cache(supervisor.in_process_api_server)


Said = Callable[[], str]
"""Gives what a test's tasks have logged and printed so far."""


@dataclass
class TaskRun:
    """What became of a task."""

    state: str
    xcom: Any
    summary: dict[str, Any] | None
    rendered: dict[str, Any]


def run(
    make_tasks: Callable[[], Any], dag_id: str | None = None, logical_date: datetime | None = None
) -> dict[str, TaskRun]:
    """Run a DAG with the tasks that `make_tasks` creates; give what became of each by `id` or `id/0`."""
    # Not so long that it might hold seven digits, which are masked like a number.
    with DAG(dag_id or f"dag_{uuid4().hex[:6]}") as dag:
        make_tasks()
    return run_dag(dag, logical_date)


def run_dag(dag: DAG, logical_date: datetime | None = None) -> dict[str, TaskRun]:
    """Run a DAG; give what became of each task by `id` or `id/0`."""
    _sync(dag)
    try:
        dag_run = dag.test(logical_date=logical_date) if logical_date else dag.test()
    except (AirflowTaskTimeout, AirflowTaskTerminated):
        # Airflow 2 lets through what ends a task, when it has taken note of it.
        from airflow.models.dagrun import DagRun

        (dag_run,) = DagRun.find(dag_id=dag.dag_id)
    found = {}
    for ti in dag_run.get_task_instances():
        name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}/{ti.map_index}"
        pull = {"task_ids": ti.task_id, "map_indexes": ti.map_index}
        found[name] = TaskRun(
            str(ti.state), ti.xcom_pull(**pull), ti.xcom_pull(key="summary", **pull), _rendered(ti)
        )
    return found


def run_task(operator: type, **parameters: Any) -> TaskRun:
    """Run one operator as the only task of a DAG."""
    return run(lambda: operator(task_id="task", **parameters))["task"]


def _rendered(ti: Any) -> dict[str, Any]:
    from airflow.models.renderedtifields import RenderedTaskInstanceFields

    return RenderedTaskInstanceFields.get_templated_fields(ti) or {}


def _sync(dag: DAG) -> None:
    """Make a DAG without a file known to the metadata database, as `dag.test()` of Airflow 3 wants it."""
    if not AIRFLOW_V_3_0_PLUS:
        # Airflow 2 wants to know only the datasets beforehand.
        dag.sync_to_db()
        return
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    dagbag = import_module("airflow.dag_processing.dagbag" if AIRFLOW_V_3_2_PLUS else "airflow.models.dagbag")
    DagBundlesManager().sync_bundles_to_db()
    bag = dagbag.DagBag(dag_folder=os.devnull)
    bag.bag_dag(dag)
    dagbag.sync_bag_to_db(bag, "dags-folder", None)
