"""Send a campaign by RCS to whom it reaches, and by SMS to the rest.

Needs two connections: `kaleyra_default`, and `warehouse`, a database with a table `contacts` that has a
column `phone`. The senders are stubs, to be replaced by yours: they print how many messages there would be.

No number is in an XCom or a log: each task reads its own from the view `campaign`.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG, BaseHook, task
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator

# [START howto_branch_campaign]
# Whoever is a contact now, each number once, but for texts that are no number.
# Null is neither yes nor no: Kaleyra did not say, or gave no answer. These get an SMS.
CAMPAIGN = """
CREATE VIEW campaign AS
SELECT r.phone_number,
       min(CASE WHEN coalesce(r.rcs_enabled, false) THEN 'rcs' ELSE 'sms' END) AS channel
FROM contacts c
JOIN contacts_rcs r ON r.raw_number = coalesce(c.phone, '')
WHERE r.status <> 'invalid'
GROUP BY r.phone_number
"""
# [END howto_branch_campaign]

with DAG(
    dag_id="send_by_reach",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["kaleyra"],
    doc_md=__doc__,
) as dag:
    # [START howto_branch]
    rcs = RcsCapabilityOperator(
        task_id="rcs",
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        result_table="contacts_rcs",
        max_age=timedelta(days=7),
    )
    campaign = SQLExecuteQueryOperator(
        task_id="campaign",
        conn_id="warehouse",
        sql=["DROP VIEW IF EXISTS campaign", CAMPAIGN],
    )

    @task.branch
    def choose() -> list[str]:
        """Give the senders who have somebody to write to."""
        warehouse = BaseHook.get_hook("warehouse")
        channels = warehouse.get_records("SELECT DISTINCT channel FROM campaign")
        return [f"send_{channel}" for (channel,) in channels]

    @task
    def send_rcs() -> int:
        return send("SELECT phone_number FROM campaign WHERE channel = 'rcs'")

    @task
    def send_sms() -> int:
        return send("SELECT phone_number FROM campaign WHERE channel = 'sms'")

    def send(sql: str) -> int:
        """Read the numbers and send: here stands your sender."""
        numbers = BaseHook.get_hook("warehouse").get_records(sql)
        print(f"{len(numbers)} messages would be sent")
        return len(numbers)

    rcs >> campaign >> choose() >> [send_rcs(), send_sms()]
    # [END howto_branch]

if __name__ == "__main__":
    dag.test()
