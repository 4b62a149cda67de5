"""Ask about a handful of numbers by the hook, in a task of your own.

Needs two connections: `kaleyra_default`, and `warehouse`, a database with a table `contacts` that has a
column `phone`.

The hook keeps no ledger: each run asks about every number again, and pays again. So would a retry, which is
why there is none. For many numbers, or the same ones each day, take the operators. The task returns counts:
what a task returns is in its XCom and its log, where no number belongs.
"""

from __future__ import annotations

from collections import Counter

import pendulum
from airflow.providers.common.compat.sdk import DAG, BaseHook, task

from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

with DAG(
    dag_id="hook_in_taskflow",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["kaleyra"],
    doc_md=__doc__,
) as dag:
    # [START howto_hook]
    @task(retries=0)
    def carriers() -> dict[str, int]:
        """Count the carriers of up to twenty contacts."""
        from airflow_provider_kaleyra.phone import PhoneNumber, read

        warehouse = BaseHook.get_hook("warehouse")
        texts = warehouse.get_records("SELECT phone FROM contacts LIMIT 20")
        meant = [read(text) for (text,) in texts]
        numbers = {one.e164 for one in meant if isinstance(one, PhoneNumber)}
        lookups = KaleyraHook().lookup_numbers(numbers)
        return Counter(lookup.current_operator or lookup.status for lookup in lookups)

    carriers()
    # [END howto_hook]

if __name__ == "__main__":
    dag.test()
