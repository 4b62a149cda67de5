"""The report's pages in Airflow 3's API server. Nobody sees one who may not see the XComs of its DAG."""

from __future__ import annotations

import logging
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse

from airflow_provider_kaleyra.errors import KaleyraError
from airflow_provider_kaleyra.report.content import report
from airflow_provider_kaleyra.report.page import message_page, run_page, runs_page
from airflow_provider_kaleyra.report.reader import read
from airflow_provider_kaleyra.report.runs import TaskInstance, find, latest

log = logging.getLogger(__name__)

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

app = FastAPI(title="Kaleyra run report", docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/", dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.XCOM))])
def runs(user: GetUserDep) -> HTMLResponse:
    """List the latest run of each result table, of the DAGs that the user may read."""
    dag_ids = get_auth_manager().get_authorized_dag_ids(user=user, method="GET")
    return HTMLResponse(runs_page(latest(dag_ids)), headers=HEADERS)


@app.get("/run", dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.XCOM))])
def run(
    dag_id: Annotated[str, Query()],
    task_id: Annotated[str, Query()],
    run_id: Annotated[str, Query()],
    map_index: Annotated[int, Query()] = -1,
) -> HTMLResponse:
    """Show the report of one task instance. Connection and table are those that the task has named."""
    found = find(TaskInstance(dag_id, task_id, run_id, map_index))
    if found is None:
        message = "This task instance has left no report: it has not run, or Airflow has forgotten it."
        return HTMLResponse(message_page(message), status_code=404, headers=HEADERS)
    results = books = problem = None
    try:
        results, books = read(found.filed, found.task_instance.asked_as)
    except KaleyraError as error:
        problem = str(error)
    except Exception as error:
        # Drivers differ in what they raise, and in what they quote.
        log.warning("The report could not read %s: %s", found.filed.conn_id, type(error).__name__)
        problem = (
            f"The database of connection {found.filed.conn_id} could not be read: {type(error).__name__}."
        )
    return HTMLResponse(
        run_page(found, report(found.filed, found.summary, results, books), problem), headers=HEADERS
    )
