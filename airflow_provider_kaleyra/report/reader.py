"""From where a task filed its outcomes to counts of what is there."""

from __future__ import annotations

from airflow_provider_kaleyra.enrichment.database import engine_of
from airflow_provider_kaleyra.enrichment.kinds import NUMBER, RCS
from airflow_provider_kaleyra.enrichment.tables import split_name
from airflow_provider_kaleyra.report.aggregates import Books, Results, books, results
from airflow_provider_kaleyra.report.content import Filed

KINDS = {kind.name: kind for kind in (RCS, NUMBER)}


def read(filed: Filed, run_id: str) -> tuple[Results | None, Books | None]:
    """Count result table and ledger, as far as there are.

    :param run_id: whose rows to count apart.
    :raises ConfigurationError: if connection or table are not what a task of ours would name.
    :raises FilingError: if the database refuses.
    """
    if filed.conn_id is None:
        return None, None
    engine = engine_of(filed.conn_id)
    try:
        kind = KINDS[filed.api]
        counted = results(engine, kind, filed.result_table, run_id) if filed.result_table else None
        schema = split_name(filed.result_table or "")[0]
        return counted, books(engine, kind, schema, run_id)
    finally:
        engine.dispose()
