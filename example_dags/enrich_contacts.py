"""Enrich a table of contacts: who can be reached by RCS, and with which carrier is each number?

Needs two connections: `kaleyra_default`, and `warehouse`, a database with a table `contacts` that has a
primary key, a column `phone`, the columns named in `write_back`, and those that `join` selects.
`kaleyra-demo` makes both and runs this.

Each number is bought once: a run asks only about numbers without an answer younger than `max_age`. The first
run asks about all of them, the next about what is new, and costs nothing if nothing is.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator

# [START howto_source]
CONTACTS = {"sql_conn_id": "warehouse", "source_table": "contacts", "number_column": "phone"}
# [END howto_source]

with DAG(
    dag_id="enrich_contacts",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["kaleyra"],
    doc_md=__doc__,
) as dag:
    # [START howto_operator_rcs]
    rcs = RcsCapabilityOperator(
        task_id="rcs",
        **CONTACTS,
        result_table="contacts_rcs",
        write_back={"rcs_enabled": "rcs_enabled", "rcs_checked_at": "answered_at"},
        max_age=timedelta(days=30),
    )
    # [END howto_operator_rcs]

    # [START howto_operator_number_lookup]
    numbers = NumberLookupOperator(
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
    )
    # [END howto_operator_number_lookup]

    # Both result tables have one row for each text in contacts.phone, so that a plain join puts all together.
    join = SQLExecuteQueryOperator(
        task_id="join",
        conn_id="warehouse",
        sql=[
            "DROP VIEW IF EXISTS contacts_enriched",
            """
            CREATE VIEW contacts_enriched AS
            SELECT c.id, c.first_name, c.last_name, c.company, c.phone,
                   n.phone_number, n.status, n.reason,
                   r.rcs_enabled, r.answered_at AS rcs_checked_at,
                   n.country, n.current_operator AS carrier, n.original_operator, n.roaming_operator,
                   n.is_ported
            FROM contacts c
            LEFT JOIN contacts_rcs r ON r.raw_number = coalesce(c.phone, '')
            LEFT JOIN contacts_numbers n ON n.raw_number = coalesce(c.phone, '')
            """,
        ],
    )

    [rcs, numbers] >> join

if __name__ == "__main__":
    dag.test()
