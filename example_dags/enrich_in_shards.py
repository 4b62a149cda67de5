"""Enrich a large table of contacts on several machines: each task of a mapped one takes a share of the rows.

Needs the connections of `enrich_contacts.py`, and an executor with several workers. Eight tasks read the
table, and each normalises, asks about and files the texts of its own shard alone. They share one ledger, so
that a number whose spellings lie in two shards is bought once.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kaleyra.enrichment.plan import shards
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator

CONTACTS = {"sql_conn_id": "warehouse", "source_table": "contacts", "number_column": "phone"}

with DAG(
    dag_id="enrich_in_shards",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
    tags=["kaleyra"],
    doc_md=__doc__,
) as dag:
    # [START howto_shards]
    rcs = RcsCapabilityOperator.partial(
        task_id="rcs",
        **CONTACTS,
        result_table="contacts_rcs",
        write_back={"rcs_enabled": "rcs_enabled", "rcs_checked_at": "answered_at"},
        max_age=timedelta(days=30),
    ).expand(shard=shards(8))

    numbers = NumberLookupOperator.partial(
        task_id="numbers",
        **CONTACTS,
        result_table="contacts_numbers",
        write_back={
            "phone_e164": "phone_number",
            "phone_problem": "reason",
            "carrier": "current_operator",
            "carrier_country": "country",
            "ported": "is_ported",
        },
        max_age=timedelta(days=90),
    ).expand(shard=shards(8))
    # [END howto_shards]

if __name__ == "__main__":
    dag.test()
