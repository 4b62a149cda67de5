"""Numbers are people: what may be seen of them."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kaleyra.enrichment.kinds import RCS
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.phone import mask
from airflow_provider_kaleyra.sandbox import Sandbox
from tests.support.airflow_runs import Said, run, run_task
from tests.support.databases import Database
from tests.support.leaks import Leaks
from tests.support.numbers import numbers

TEN = numbers(10)


@pytest.mark.parametrize("given", [TEN, ",".join(TEN), json.dumps(TEN), [[number] for number in TEN]])
def test_rendered_templates_show_a_count_in_place_of_the_numbers(given: Any, sandbox: Sandbox) -> None:
    ran = run_task(RcsCapabilityOperator, numbers=given)

    assert "numbers" in ran.rendered["numbers"]
    assert not any(number[1:] in json.dumps(ran.rendered) for number in TEN)


def test_numbers_of_a_mapped_task_are_not_rendered_either(sandbox: Sandbox) -> None:
    def tasks() -> None:
        RcsCapabilityOperator.partial(task_id="rcs").expand(numbers=[TEN[:5], TEN[5:]])

    ran = run(tasks)

    assert [len(shard.xcom) for shard in ran.values()] == [5, 5]
    assert {shard.rendered["numbers"] for shard in ran.values()} == {"5 numbers"}


@pytest.mark.parametrize("template", [TEN[0], "{{ '" + TEN[0] + "' }}"])
def test_a_number_among_the_parameters_is_masked_where_they_are_rendered(
    template: str, sandbox: Sandbox, sqlite_database: Database
) -> None:
    sqlite_database.contacts(TEN)

    ran = run_task(
        NumberLookupOperator,
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        where="phone = :one AND note = :note",
        parameters={"one": template, "note": "mine"},
        result_table="filed",
    )

    assert ran.summary is not None
    assert ran.summary["ok"] == 1
    assert "mine" in json.dumps(ran.rendered["parameters"])
    assert TEN[0][1:] not in json.dumps(ran.rendered)


@pytest.mark.parametrize(
    "where",
    [
        f"phone = '{TEN[0]}' AND note = 'mine'",
        f"phone = '{TEN[0]}' AND note = '{{{{ 'mi' + 'ne' }}}}'",
        f"phone = '{{{{ '{TEN[0]}' }}}}' AND note = 'mine'",
        f"phone = '{{{{ ['{TEN[0][:6]}', '{TEN[0][6:]}'] | join }}}}' AND note = 'mine'",
    ],
    ids=["literal", "beside a template", "in a template", "made by a template"],
)
@pytest.mark.parametrize("field", ["where", "sql"])
def test_a_number_in_a_query_is_masked_where_it_is_rendered(
    field: str, where: str, sandbox: Sandbox, sqlite_database: Database
) -> None:
    sqlite_database.contacts(TEN)
    inputs = {"where": {"source_table": "contacts", "where": where}}
    inputs["sql"] = {"sql": f"SELECT phone FROM contacts WHERE {where}"}

    ran = run_task(
        NumberLookupOperator,
        sql_conn_id="warehouse",
        number_column="phone",
        result_table="filed",
        **inputs[field],
    )

    assert ran.summary is not None
    assert (ran.summary["inputs"], ran.summary["ok"]) == (1, 1)
    shown = ran.rendered[field]
    assert "note = 'mine'" in shown
    assert f"'{mask(TEN[0])}'" in shown
    assert not any(number[1:] in json.dumps(ran.rendered) for number in TEN)


def test_a_number_in_a_query_of_a_mapped_task_is_not_rendered_either(
    sandbox: Sandbox, sqlite_database: Database
) -> None:
    sqlite_database.contacts(TEN)

    def tasks() -> None:
        NumberLookupOperator.partial(
            task_id="numbers", sql_conn_id="warehouse", source_table="contacts", number_column="phone"
        ).expand(where=[f"phone = '{number}' AND {{{{ ti.map_index }}}} < 2" for number in TEN[:2]])

    ran = run(tasks)

    assert [task.xcom[0]["phone_number"] for task in ran.values()] == TEN[:2]
    assert [task.rendered["where"] for task in ran.values()] == [
        f"phone = '{mask(number)}' AND {n} < 2" for n, number in enumerate(TEN[:2])
    ]


def test_a_number_in_a_file_of_sql_is_masked_where_it_is_rendered(
    sandbox: Sandbox, sqlite_database: Database, tmp_path: Path
) -> None:
    sqlite_database.contacts(TEN)
    (tmp_path / "20260101123.sql").write_text(
        f"SELECT phone FROM contacts WHERE phone = '{TEN[0]}' AND note = '{{{{ 'mine' }}}}'\n"
    )

    def tasks() -> None:
        operator = NumberLookupOperator(task_id="task", sql_conn_id="warehouse", sql="20260101123.sql")
        operator.dag.template_searchpath = [str(tmp_path)]

    ran = run(tasks)["task"]

    assert [row["phone_number"] for row in ran.xcom] == [TEN[0]]
    assert "note = 'mine'" in ran.rendered["sql"]
    assert TEN[0][1:] not in json.dumps(ran.rendered)


@pytest.mark.parametrize("beside", ["", " AND note = '{{ ds }}'"], ids=["literal", "template"])
def test_a_number_in_a_query_is_masked_in_the_dag_that_airflow_stores(beside: str) -> None:
    from airflow.serialization.helpers import serialize_template_field

    where = f"phone = '{TEN[0]}'{beside}"
    task = NumberLookupOperator(task_id="task", sql_conn_id="warehouse", source_table="contacts", where=where)

    assert serialize_template_field(task.where, "where") == where.replace(TEN[0], mask(TEN[0]))
    assert TEN[0][1:] not in repr(task.where)


BESIDE = [
    {"numbers": [TEN[0], "{{ '" + TEN[1] + "' }}"]},
    {"numbers": TEN[0] + ", {{ '" + TEN[1] + "' }}"},
    {
        "sql": "SELECT :one UNION ALL SELECT :two",
        "parameters": {"one": TEN[0], "two": "{{ '" + TEN[1] + "' }}"},
    },
]


@pytest.mark.parametrize("given", BESIDE, ids=["list", "text", "parameters"])
def test_a_number_beside_a_template_is_not_in_the_dag_that_airflow_stores(given: dict[str, Any]) -> None:
    from airflow.serialization.helpers import serialize_template_field

    task = NumberLookupOperator(task_id="task", sql_conn_id="warehouse", **given)

    stored = [str(serialize_template_field(getattr(task, name), name)) for name in given]
    assert not any(number[1:] in text for text in stored for number in TEN)


@pytest.mark.parametrize("given", BESIDE, ids=["list", "text", "parameters"])
def test_a_number_beside_a_template_is_looked_up_and_not_rendered(
    given: dict[str, Any], sandbox: Sandbox, sqlite_database: Database
) -> None:
    ran = run_task(NumberLookupOperator, sql_conn_id="warehouse", **given)

    assert [row["phone_number"] for row in ran.xcom] == TEN[:2]
    assert not any(number[1:] in json.dumps(ran.rendered) for number in TEN)


def test_a_template_without_a_number_stays_as_it_is_written() -> None:
    for template in ("{{ var.value.phones }}", ["{{ params.one }}", "{{ params.two }}"]):
        assert NumberLookupOperator(task_id="task", numbers=template).numbers == template


def test_a_query_without_a_number_stays_the_text_that_it_is() -> None:
    task = NumberLookupOperator(task_id="task", sql_conn_id="warehouse", sql="SELECT phone FROM contacts")

    assert task.sql == "SELECT phone FROM contacts"


def test_the_summary_names_no_number(sandbox: Sandbox, sqlite_database: Database) -> None:
    sqlite_database.contacts(TEN)

    ran = run_task(
        NumberLookupOperator,
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        result_table="filed",
    )

    assert not any(number[1:] in json.dumps(ran.summary) for number in TEN)


def test_a_databases_refusal_is_told_without_the_numbers_that_it_quotes(
    sandbox: Sandbox, database: Database, said: Said
) -> None:
    database.contacts(TEN)
    columns = (
        "raw_number VARCHAR(255) PRIMARY KEY, phone_number TEXT CHECK (phone_number = 'never'), status TEXT"
    )
    rest = ", ".join(
        f"{name} TEXT" for name in RCS.result_columns if name not in ("raw_number", "phone_number", "status")
    )
    database.execute(f"CREATE TABLE filed ({columns}, {rest})")

    ran = run_task(
        RcsCapabilityOperator,
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        result_table="filed",
    )

    told = said()
    assert ran.state == "failed"
    assert "The database refused" in told
    assert not any(number[1:] in told for number in TEN)


def test_sqlalchemys_debug_log_shows_no_row(
    sandbox: Sandbox, sqlite_database: Database, said: Said, caplog: pytest.LogCaptureFixture
) -> None:
    sqlite_database.contacts(TEN)
    with caplog.at_level(logging.DEBUG, "sqlalchemy"):
        from airflow_provider_kaleyra.enrichment.database import engine_of
        from airflow_provider_kaleyra.enrichment.source import TableSource

        inputs = list(TableSource(engine_of("warehouse"), "contacts", "phone").chunks())

    assert [item.raw for item in inputs[0]] == TEN
    assert not any(number[1:] in said() for number in TEN)


@pytest.mark.whole_run
def test_law_7_no_number_and_no_key_was_said_in_the_whole_test_run(leaks: Leaks) -> None:
    leaks.watch(["+19995550199"])
    assert leaks.leaks("spelled +1 (999) 555-0199 or 19995550199")
    assert leaks.watched > 1

    assert list(leaks.found(Path(os.environ["AIRFLOW_HOME"]))) == []


@pytest.mark.whole_run
def test_law_7_no_rendered_template_of_the_whole_test_run_holds_a_number(leaks: Leaks) -> None:
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.settings import Session

    rendered = [json.dumps(row.rendered_fields) for row in Session().query(RenderedTaskInstanceFields)]

    assert rendered
    assert [text for text in rendered if leaks.leaks(text)] == []
