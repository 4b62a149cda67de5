"""One table of contacts, shared out to six mapped tasks."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kaleyra.enrichment.plan import shards
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator

for in_doubt in ("hold", "rebuy"):
    with DAG(f"shards_{in_doubt}", schedule=None):
        NumberLookupOperator.partial(
            task_id="numbers",
            sql_conn_id=f"warehouse_{in_doubt}",
            source_table="contacts",
            number_column="phone",
            result_table="filed",
            in_doubt=in_doubt,
            batch_size=10,
            max_workers=2,
            retries=2,
            retry_delay=timedelta(0),
        ).expand(shard=shards(6))
