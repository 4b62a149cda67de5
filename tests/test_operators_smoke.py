import pytest

from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from tests.support.airflow_runs import run_task

pytestmark = pytest.mark.usefixtures("airflow_db")


def test_a(sandbox, database):
    database.contacts(["+12025550134", "abc"])
    r = run_task(
        RcsCapabilityOperator,
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        result_table="r",
    )
    print(r)
    assert database.rows("select * from r") == 1
