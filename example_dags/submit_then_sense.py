"""Submit numbers in one task, and let a sensor wait for the answers in the next: by table, and by id.

Needs two connections: `kaleyra_default`, and `warehouse`, a database with a table `contacts` that has a
column `phone`. Needs a triggerer, as every deferrable task does.
"""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.sensors.lookup_details import LookupDetailsSensor

with DAG(
    dag_id="submit_then_sense",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["kaleyra"],
    doc_md=__doc__,
) as dag:
    # [START howto_sensor_lookup_details]
    submit = NumberLookupOperator(
        task_id="submit",
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        result_table="contacts_numbers",
        mode="submit",
    )
    wait = LookupDetailsSensor(
        task_id="wait",
        sql_conn_id="warehouse",
        result_table="contacts_numbers",
        deferrable=True,
        poke_interval=10,
        timeout=6 * 60 * 60,
    )
    submit >> wait
    # [END howto_sensor_lookup_details]

    # [START howto_sensor_lookup_details_ids]
    submit_few = NumberLookupOperator(
        task_id="submit_few",
        numbers=["+1 202 555 0134", "+44 7911 123456"],
        mode="submit",
    )
    LookupDetailsSensor(
        task_id="details",
        lookup_id=submit_few.output,
        deferrable=True,
        poke_interval=10,
        timeout=6 * 60 * 60,
    )
    # [END howto_sensor_lookup_details_ids]

if __name__ == "__main__":
    dag.test()
