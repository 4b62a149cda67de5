"""What a run leaves in Airflow besides its outcomes: where its report finds them, lineage, asset events.

None of it may stop a run: what it cannot tell, it leaves out.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset, BaseHook, BaseOperatorLink

from airflow_provider_kaleyra.compat import openlineage_run_facet
from airflow_provider_kaleyra.links import KaleyraDocumentationLink, RunReportLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kaleyra.enrichment.job import Job
    from airflow_provider_kaleyra.enrichment.kinds import Kind
    from airflow_provider_kaleyra.enrichment.run import Enrichment

log = logging.getLogger(__name__)

REPORT_KEY = "kaleyra_report"
"""The XCom in which the run report finds connection and table."""


def leave(context: Context, job: Job, kind: Kind, summary: Mapping[str, Any]) -> None:
    """Tell Airflow what was read and filed, once a run.

    :param summary: counts, as in the XCom ``summary``; the extra of each asset event of the task's outlets.
    """
    place = {"api": kind.name, "conn_id": job.output_conn_id, "result_table": job.result_table}
    context["ti"].xcom_push(key=REPORT_KEY, value=place)
    for tell in (_tell_outlets, _tell_lineage):
        try:
            tell(context, job, summary)
        except Exception as error:
            log.warning("Lineage of this run is incomplete: %s", type(error).__name__)


def _tell_outlets(context: Context, job: Job, summary: Mapping[str, Any]) -> None:  # noqa: ARG001
    for outlet in context["ti"].task.outlets or ():
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra.update(summary)


def _tell_lineage(context: Context, job: Job, summary: Mapping[str, Any]) -> None:  # noqa: ARG001
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    collector: Any = get_hook_lineage_collector()  # type: ignore[no-untyped-call]
    places = (
        (collector.add_input_asset, job.sql_conn_id, job.source_table),
        (collector.add_output_asset, job.output_conn_id, job.result_table),
    )
    for add, conn_id, table in places:
        if conn_id and table:
            connection: Any = BaseHook.get_connection(conn_id)
            if uri := asset_uri(connection, table):
                add(context=connection.get_hook(), uri=uri)


def asset_uri(connection: Any, table: str) -> str | None:
    """Give the URI of a table, in the form that the database's own provider asks for.

    :param connection: an Airflow connection.
    :param table: ``schema.table``, or a table of the connection's own schema.
    :return: ``None`` for a database that is not known here, or one without a host, such as a local socket.
    """
    schema, _, name = table.rpartition(".")
    kind, host, database = connection.conn_type, connection.host or "", connection.schema or ""
    if kind == "sqlite" and host and not schema:
        # With a host: Airflow makes sqlite:/… of a URI that has none.
        return f"sqlite://localhost{Path(host).absolute()}/{name}"
    if not host or "/" in host:
        return None
    if kind == "postgres" and database:
        return f"postgres://{host}:{connection.port or 5432}/{database}/{schema or 'public'}/{name}"
    if kind == "mysql" and (schema or database):
        return f"mysql://{host}:{connection.port or 3306}/{schema or database}/{name}"
    return None


class Traced:
    """What an operator shows to those who look at its task instances."""

    operator_extra_links: Collection[BaseOperatorLink] = (KaleyraDocumentationLink(), RunReportLink())
    _enrichment: Enrichment | None = None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002
        """Give OpenLineage the summary as a facet of the run; the datasets it takes from hook lineage.

        :return: an ``OperatorLineage``, or ``None`` if nothing ran or the OpenLineage provider is missing.
        """
        if self._enrichment is None:
            return None
        return openlineage_run_facet("kaleyra_summary", self._enrichment.summary.as_dict())
