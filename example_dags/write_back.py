"""Fill columns of the contact table itself with what is known about each number.

Needs two connections: `kaleyra_default`, and `warehouse`, a database with a table `contacts` that has a
primary key, a column `phone`, and the columns `rcs` and `carrier` to be filled.

Every row whose number is known is filled, however it is spelled; no other column is touched. A contact who
comes with a number that was bought already gets its columns filled, and nothing is bought.
"""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator

with DAG(
    dag_id="write_back",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["kaleyra"],
    doc_md=__doc__,
) as dag:
    # [START howto_write_back]
    RcsCapabilityOperator(
        task_id="rcs",
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        result_table="contacts_rcs",
        write_back={"rcs": "rcs_enabled"},
    )
    NumberLookupOperator(
        task_id="numbers",
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        result_table="contacts_numbers",
        write_back={"carrier": "current_operator"},
    )
    # [END howto_write_back]

if __name__ == "__main__":
    dag.test()
