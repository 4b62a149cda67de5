"""The example DAGs, run from their files."""

from __future__ import annotations

import runpy
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG

from tests.support.airflow_runs import TaskRun, run_dag

FOLDER = Path(__file__).resolve().parents[2] / "example_dags"


def load_example(name: str) -> DAG:
    """Load the DAG of an example's file, as Airflow does before each run."""
    return runpy.run_path(str(FOLDER / f"{name}.py"))["dag"]


def run_example(name: str) -> dict[str, TaskRun]:
    """Run an example; give what became of each task, none of which failed, by `id` or `id/0`."""
    ran = run_dag(load_example(name))
    assert {task.state for task in ran.values()} <= {"success", "skipped"}
    return ran
