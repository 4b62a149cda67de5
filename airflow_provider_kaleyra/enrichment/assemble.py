"""From a job's plain values to the parts of its pipeline."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from airflow_provider_kaleyra.enrichment.checkpoint import Checkpoints, Store
from airflow_provider_kaleyra.enrichment.database import engine_of
from airflow_provider_kaleyra.enrichment.fresh import Fresh, can_compare
from airflow_provider_kaleyra.enrichment.job import Job
from airflow_provider_kaleyra.enrichment.kinds import Kind
from airflow_provider_kaleyra.enrichment.ledger import Ledger
from airflow_provider_kaleyra.enrichment.memory import Memory, Run
from airflow_provider_kaleyra.enrichment.plan import Reading
from airflow_provider_kaleyra.enrichment.refusals import refuse_invalid, refuse_too_many
from airflow_provider_kaleyra.enrichment.rescue import Rescue
from airflow_provider_kaleyra.enrichment.results import ListOutput, TableOutput, WriteBack
from airflow_provider_kaleyra.enrichment.run import Enrichment
from airflow_provider_kaleyra.enrichment.settings import Service, Settings
from airflow_provider_kaleyra.enrichment.source import ListSource, QuerySource, Source, TableSource, cells
from airflow_provider_kaleyra.enrichment.summary import Summary
from airflow_provider_kaleyra.enrichment.tables import split_name
from airflow_provider_kaleyra.enrichment.trial import try_out
from airflow_provider_kaleyra.errors import ConfigurationError
from airflow_provider_kaleyra.phone import check_region

MOST_IN_XCOM = 10_000


def assemble(
    job: Job,
    kind: Kind,
    run: Run,
    service: Service,
    least_batch: int,
    store: Store | None = None,
    since: datetime | None = None,
) -> Enrichment:
    """Open the databases, make the tables that are missing, and put the pipeline together. Nothing is bought.

    :param store: Airflow's task state store, if it has one.
    :param since: when the run began, if it is only to be brought to its end: nothing is asked then.
    :raises ConfigurationError: naming the parameter or the table that is wrong.
    """
    job.check(kind)
    kind = kind.only(job.columns)
    if since is not None:
        job = replace(job, max_lookups=0, on_invalid="record")
    check_region(job.default_region)
    settings = Settings(
        reading=Reading(job.default_region, job.assume_country_code),
        shard=(job.shard[0], job.shard[1]) if job.shard else None,
        batch_size=job.batch_size,
        least_batch=least_batch,
        max_workers=job.max_workers,
        max_lookups=job.max_lookups,
        max_price=job.max_price,
        ending=since is not None,
    )
    result_conn_id = job.output_conn_id
    sql_engine = engine_of(job.sql_conn_id) if job.sql_conn_id else None
    together = result_conn_id == job.sql_conn_id
    result_engine = sql_engine if together else engine_of(result_conn_id) if result_conn_id else None
    if sql_engine is not None and result_engine is not None and sql_engine.url == result_engine.url:
        # Two transactions in one database could wait for each other.
        together, result_engine = True, sql_engine

    source: Source
    if sql_engine is not None and job.source_table is not None:
        source = TableSource(sql_engine, job.source_table, job.number_column, job.where, job.parameters)
    elif sql_engine is not None and job.sql is not None:
        source = QuerySource(sql_engine, job.sql, job.parameters, job.number_column)
    else:
        source = ListSource(cells(job.numbers, job.number_column))
    if not job.result_table:
        refuse_too_many(source, settings.shard, MOST_IN_XCOM)
    if job.on_invalid == "fail":
        refuse_invalid(source, settings.shard, settings.reading)

    output: ListOutput | TableOutput
    if job.result_table is None:
        output = ListOutput(kind)
    elif result_engine is None:
        raise ConfigurationError("result_table needs sql_conn_id or result_conn_id")
    else:
        write_back = None
        if job.write_back and sql_engine is not None and isinstance(source, TableSource):
            write_back = WriteBack(sql_engine, kind, source, job.write_back, apart=not together)
        output = TableOutput(result_engine, kind, job.result_table, write_back)
    memory: Memory = Checkpoints(store, ending=since is not None)
    rescue = None
    if result_engine is not None and result_conn_id is not None:
        memory = Ledger(
            result_engine,
            kind,
            run,
            schema=split_name(job.result_table or "")[0],
            max_age=job.max_age,
            hold=job.in_doubt == "hold",
            since=since,
        )
        try_out(result_engine, memory.table)
        if isinstance(source, TableSource) and isinstance(output, TableOutput) and together and not job.shard:
            fresh = Fresh(output.table, memory, job.write_back or {})
            if can_compare(source.table, source.number, fresh):
                source.skip(fresh)
        rescue = Rescue(kind, run, result_conn_id, job.result_table, rescue_folder())
        rescue.file()
    return Enrichment(
        kind=kind,
        run=run,
        service=service,
        source=source,
        output=output,
        memory=memory,
        settings=settings,
        rescue=rescue,
        summary=Summary(result_table=job.result_table, submits=job.mode == "submit"),
    )


def rescue_folder() -> Path:
    """Give the place for paid answers that no database takes: ``kaleyra`` in Airflow's home."""
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "kaleyra"
