"""The runs that Airflow knows of: which task filed what where, from its XComs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_kaleyra.operators.lineage import REPORT_KEY
from airflow_provider_kaleyra.report.content import Filed

SUMMARY_KEY = "summary"
MOST_LOOKED_AT = 1000


@dataclass(frozen=True)
class TaskInstance:
    """Names one task instance."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int = -1

    @property
    def asked_as(self) -> str:
        """Its ``run_id`` in ledger and result table."""
        task = f"{self.dag_id}/{self.task_id}/{self.run_id}"
        return task if self.map_index < 0 else f"{task}/{self.map_index}"


@dataclass(frozen=True)
class Run:
    """What a task instance has left behind."""

    task_instance: TaskInstance
    filed: Filed
    at: datetime
    summary: dict[str, Any] = field(default_factory=dict)


def find(task_instance: TaskInstance) -> Run | None:
    """Look up one task instance; ``None`` if it is none of ours, or Airflow has forgotten it."""
    statement = select(XComModel).where(
        XComModel.key.in_((REPORT_KEY, SUMMARY_KEY)),
        XComModel.dag_id == task_instance.dag_id,
        XComModel.task_id == task_instance.task_id,
        XComModel.run_id == task_instance.run_id,
        XComModel.map_index == task_instance.map_index,
    )
    with create_session() as session:
        left = {
            row.key: (XComModel.deserialize_value(row), row.timestamp) for row in session.scalars(statement)
        }
    value, at = left.get(REPORT_KEY, (None, None))
    filed = Filed.read(value)
    if filed is None or at is None:
        return None
    summary = left.get(SUMMARY_KEY, (None, at))[0]
    return Run(task_instance, filed, at, summary if isinstance(summary, dict) else {})


def latest(dag_ids: Collection[str]) -> list[Run]:
    """Give the latest run of each result table, newest first, as far as these DAGs made it."""
    statement = (
        select(XComModel)
        .where(XComModel.key == REPORT_KEY, XComModel.dag_id.in_(dag_ids))
        .order_by(XComModel.timestamp.desc())
        .limit(MOST_LOOKED_AT)
    )
    found: dict[Any, Run] = {}
    with create_session() as session:
        for row in session.scalars(statement):
            filed = Filed.read(XComModel.deserialize_value(row))
            if filed is None:
                continue
            task_instance = TaskInstance(row.dag_id, row.task_id, row.run_id, row.map_index)
            # Without a table, a task's runs are what belongs together.
            place = filed if filed.result_table else (filed, row.dag_id, row.task_id)
            found.setdefault(place, Run(task_instance, filed, row.timestamp))
    return list(found.values())
