"""Submit a table's numbers, wait for the answers without holding a worker, and file them.

Needs two connections: `kaleyra_default`, and `warehouse`, a database with a table `contacts` that has a
primary key and a column `phone`. Needs a triggerer, as every deferrable task does.

The lookups are paid for when they are submitted. Their ids are filed first, so that neither a retry nor a
restarted triggerer submits a number again.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator

with DAG(
    dag_id="submit_and_wait",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["kaleyra"],
    doc_md=__doc__,
) as dag:
    # [START howto_operator_number_lookup_submit]
    numbers = NumberLookupOperator(
        task_id="numbers",
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        result_table="contacts_numbers",
        mode="submit",
        wait_for_completion=True,
        deferrable=True,
        poll_interval=10,
        wait_timeout=6 * 60 * 60,
        retries=2,
        retry_delay=timedelta(minutes=1),
    )
    # [END howto_operator_number_lookup_submit]

if __name__ == "__main__":
    dag.test()
