"""What a run tells Airflow of the tables that it read and filed in, and of what came of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.models.connection import Connection
from airflow.providers.common.compat.sdk import Asset
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_kaleyra.links import KALEYRA_DOCUMENTATION, KaleyraDocumentationLink, RunReportLink
from airflow_provider_kaleyra.operators import lineage
from airflow_provider_kaleyra.operators.lineage import asset_uri
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.sandbox import Sandbox
from tests.support.airflow_runs import run, run_task
from tests.support.databases import Database
from tests.support.numbers import numbers

PHONES = numbers(3)
FROM_CONTACTS = {"sql_conn_id": "warehouse", "source_table": "contacts", "number_column": "phone"}


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Airflow's collector of hook lineage, which is there only where somebody reads it."""
    from airflow.providers.common.compat import sdk
    from airflow.providers.common.compat.lineage import hook

    module = __import__(sdk.get_hook_lineage_collector.__module__, fromlist=["HookLineageCollector"])
    collector = module.HookLineageCollector()
    monkeypatch.setattr(sdk, "get_hook_lineage_collector", lambda: collector)
    return hook.get_hook_lineage_collector()


def events(dag_id: str) -> list[Any]:
    """The asset events that a DAG has caused, as the metadata database has them."""
    from airflow.utils.session import create_session
    from sqlalchemy import select

    try:
        from airflow.models.asset import AssetEvent
    except ImportError:
        from airflow.models.dataset import DatasetEvent as AssetEvent
    with create_session() as session:
        found = list(session.scalars(select(AssetEvent).where(AssetEvent.source_dag_id == dag_id)))
        session.expunge_all()
    return found


def test_the_summary_is_in_the_events_of_the_assets_that_the_task_declares(
    sandbox: Sandbox, sqlite_database: Database
) -> None:
    sqlite_database.contacts(PHONES)
    assets = [Asset("sqlite://warehouse/contacts_rcs"), Asset("other://of/the/users")]
    ran = run(
        lambda: RcsCapabilityOperator(task_id="task", **FROM_CONTACTS, result_table="filed", outlets=assets),
        dag_id="dag_asset_events",
    )

    assert ran["task"].summary is not None
    assert ran["task"].summary["ok"] == 3
    assert [event.extra for event in events("dag_asset_events")] == [ran["task"].summary] * 2


def test_a_failed_run_causes_no_asset_event(sandbox: Sandbox, sqlite_database: Database) -> None:
    sqlite_database.contacts(PHONES)
    sandbox.fault("json_error", rate=1, status=400)
    asset = Asset("sqlite://warehouse/contacts_failed")
    ran = run(
        lambda: RcsCapabilityOperator(task_id="task", **FROM_CONTACTS, result_table="filed", outlets=[asset]),
        dag_id="dag_failed_asset_events",
    )

    assert ran["task"].state == "failed"
    assert events("dag_failed_asset_events") == []


def test_source_and_result_table_are_told_once(
    sandbox: Sandbox, sqlite_database: Database, collected: Any
) -> None:
    sqlite_database.contacts(numbers(350))
    ran = run_task(RcsCapabilityOperator, **FROM_CONTACTS, result_table="filed", max_workers=1)

    assert ran.state == "success"
    told = collected.collected_assets
    assert [(each.asset.uri.rpartition("/")[2], each.count) for each in told.inputs] == [("contacts", 1)]
    assert [(each.asset.uri.rpartition("/")[2], each.count) for each in told.outputs] == [("filed", 1)]


def test_without_tables_nothing_is_told(sandbox: Sandbox, collected: Any) -> None:
    assert run_task(NumberLookupOperator, numbers=PHONES).state == "success"
    told = collected.collected_assets
    assert (list(told.inputs), list(told.outputs)) == ([], [])


def test_lineage_that_breaks_does_not_break_the_run(
    sandbox: Sandbox, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(f"about {PHONES[0]}")

    monkeypatch.setattr(lineage, "asset_uri", broken)
    sqlite_database.contacts(PHONES)
    ran = run_task(RcsCapabilityOperator, **FROM_CONTACTS, result_table="filed")

    assert ran.state == "success"
    assert sqlite_database.rows("SELECT count(*) AS n FROM filed") == [{"n": 3}]


@pytest.mark.parametrize(
    ("connection", "table", "uri"),
    [
        ({"conn_type": "sqlite", "host": "/data/w.db"}, "filed", "sqlite://localhost/data/w.db/filed"),
        (
            {"conn_type": "sqlite", "host": "w.db"},
            "filed",
            f"sqlite://localhost{Path('w.db').absolute()}/filed",
        ),
        (
            {"conn_type": "postgres", "host": "db", "schema": "crm"},
            "filed",
            "postgres://db:5432/crm/public/filed",
        ),
        (
            {"conn_type": "postgres", "host": "db", "port": 6000, "schema": "crm"},
            "marts.filed",
            "postgres://db:6000/crm/marts/filed",
        ),
        ({"conn_type": "postgres", "host": "/run/postgresql", "schema": "crm"}, "filed", None),
        ({"conn_type": "postgres", "host": "db"}, "filed", None),
        ({"conn_type": "mysql", "host": "db", "schema": "crm"}, "filed", "mysql://db:3306/crm/filed"),
        ({"conn_type": "mysql", "host": "db", "schema": "crm"}, "marts.filed", "mysql://db:3306/marts/filed"),
        ({"conn_type": "oracle", "host": "db", "schema": "crm"}, "filed", None),
    ],
)
def test_a_tables_uri_is_the_one_that_its_databases_provider_asks_for(
    connection: dict[str, Any], table: str, uri: str | None
) -> None:
    assert (
        asset_uri(Connection(conn_id="warehouse", login="me", password="secret", **connection), table) == uri
    )
    if uri is not None:
        assert Asset(uri).uri == uri


def test_the_run_report_finds_connection_and_table(sandbox: Sandbox, sqlite_database: Database) -> None:
    sqlite_database.contacts(PHONES)
    filed = place_of(RcsCapabilityOperator, **FROM_CONTACTS, result_table="filed")
    kept = place_of(NumberLookupOperator, numbers=PHONES, ledger_conn_id="warehouse")
    neither = place_of(NumberLookupOperator, numbers=PHONES)

    assert filed == {"api": "rcs", "conn_id": "warehouse", "result_table": "filed"}
    assert kept == {"api": "number", "conn_id": "warehouse", "result_table": None}
    assert neither == {"api": "number", "conn_id": None, "result_table": None}


def place_of(operator: type, **parameters: Any) -> Any:
    """Run a task, and give what a later one is told of its report."""
    from airflow.providers.common.compat.standard.operators import PythonOperator

    found: list[Any] = []

    def look(ti: Any) -> None:
        found.append(ti.xcom_pull(task_ids="task", key="kaleyra_report"))

    def tasks() -> None:
        operator(task_id="task", **parameters) >> PythonOperator(task_id="look", python_callable=look)

    assert {name: ran.state for name, ran in run(tasks).items()} == {"task": "success", "look": "success"}
    return found[0]


def test_kaleyras_documentation_is_linked() -> None:
    assert KaleyraDocumentationLink().get_link(None, ti_key=None) == KALEYRA_DOCUMENTATION


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 has no place for the report")
def test_the_report_of_a_task_instance_is_linked(monkeypatch: pytest.MonkeyPatch) -> None:
    key = SimpleNamespace(dag_id="d", task_id="t", run_id="manual__2026-01-01T00:00:00+00:00", map_index=None)

    def report() -> str:
        return RunReportLink().get_link(None, ti_key=key)

    path = "/kaleyra/run?dag_id=d&task_id=t&run_id=manual__2026-01-01T00%3A00%3A00%2B00%3A00&map_index=-1"
    assert report() == path
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/of/us/")
    assert report() == f"https://airflow.example.com/of/us{path}"


def test_the_links_are_on_both_operators_and_airflow_keeps_them() -> None:
    from airflow.providers_manager import ProvidersManager

    names = {"Kaleyra documentation", "Run report"}
    for operator in (RcsCapabilityOperator, NumberLookupOperator):
        task = operator(task_id="task", numbers=PHONES)
        assert {link.name for link in task.operator_extra_links} == names
    assert {
        f"{each.__module__}.{each.__name__}" for each in (KaleyraDocumentationLink, RunReportLink)
    } <= set(ProvidersManager().extra_links_class_names)


def test_openlineage_gets_the_summary_and_leaves_the_tables_to_hook_lineage(sandbox: Sandbox) -> None:
    told: list[Any] = []

    def as_its_listener_does(context: Any) -> None:
        told.append(context["ti"].task.get_openlineage_facets_on_complete(context["ti"]))

    ran = run_task(RcsCapabilityOperator, numbers=PHONES, on_success_callback=as_its_listener_does)

    assert ran.summary is not None
    (lineage_of_run,) = told
    assert (lineage_of_run.inputs, lineage_of_run.outputs) == ([], [])
    facet = lineage_of_run.run_facets["kaleyra_summary"]
    assert {name: getattr(facet, name) for name in ran.summary} == ran.summary


def test_an_operator_that_has_not_run_tells_openlineage_nothing() -> None:
    operator = RcsCapabilityOperator(task_id="task", numbers=PHONES)

    assert operator.get_openlineage_facets_on_complete(None) is None
