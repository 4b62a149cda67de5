"""Look up the numbers that an upstream query returned.

Needs two connections: `kaleyra_default`, and `warehouse`, a database with a table `contacts` that has a
column `phone` and a column `rcs`.

The query's rows are handed on as an XCom, and so are kept in full in Airflow's database: up to some thousand
of them, and where that is allowed. `source_table` and `sql` read the database without that.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, task
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator

with DAG(
    dag_id="enrich_from_query",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["kaleyra"],
    doc_md=__doc__,
) as dag:
    # [START howto_query]
    query = SQLExecuteQueryOperator(
        task_id="query",
        conn_id="warehouse",
        sql="SELECT phone FROM contacts WHERE rcs IS NULL",
    )
    NumberLookupOperator(
        task_id="numbers",
        numbers=query.output,
        result_conn_id="warehouse",
        result_table="contacts_numbers",
    )
    # [END howto_query]

    # [START howto_query_xcom]
    rcs = RcsCapabilityOperator(
        task_id="rcs",
        numbers=query.output,
        ledger_conn_id="warehouse",
    )

    @task
    def reach(ti: Any = None) -> dict[str, int]:
        # Pulled here: Airflow shows a task's arguments, and would show the numbers in them.
        outcomes = ti.xcom_pull(task_ids="rcs")
        words = {True: "yes", False: "no", None: "unknown"}
        return Counter(words[row["rcs_enabled"]] for row in outcomes if row["status"] == "ok")

    rcs >> reach()
    # [END howto_query_xcom]

if __name__ == "__main__":
    dag.test()
