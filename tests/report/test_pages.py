"""The report's pages as Airflow's API server serves them: who may see them, and what is on them."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("airflow.api_fastapi", reason="Airflow 2 has no place for the pages")

from fastapi.testclient import TestClient

from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.sandbox import Sandbox
from tests.support.airflow_runs import run, run_task
from tests.support.databases import Database
from tests.support.leaks import Leaks
from tests.support.numbers import numbers

PHONES = numbers(150)
FROM_CONTACTS = {"sql_conn_id": "warehouse", "source_table": "contacts", "number_column": "phone"}

pytestmark = [
    pytest.mark.usefixtures("airflow_db"),
    # Starlette would have its test client on another library than Airflow's own.
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """Airflow's own API server, with the plugin in it as its entry point says."""
    from airflow.api_fastapi.app import create_app

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "AIRFLOW__API_AUTH__JWT_SECRET",
            "of this test alone, and long enough " * 2,
        )
        yield create_app(apps="core")


@pytest.fixture
def client(server: Any) -> TestClient:
    """A stranger."""
    return TestClient(server)


@pytest.fixture
def as_user(server: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TestClient]:
    """Somebody who is logged in, and may see the given DAGs or all."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    manager = get_auth_manager()

    def make(role: str | None = "viewer", dag_ids: set[str] | None = None) -> TestClient:
        token = manager.generate_jwt(SimpleAuthManagerUser(username="somebody", role=role))
        if dag_ids is not None:
            monkeypatch.setattr(manager, "get_authorized_dag_ids", lambda **_: dag_ids)
            monkeypatch.setattr(
                manager,
                "is_authorized_dag",
                lambda *, details=None, **_: details is None or details.id is None or details.id in dag_ids,
            )
        return TestClient(server, headers={"Authorization": f"Bearer {token}"})

    return make


def report_of(operator: type = RcsCapabilityOperator, **parameters: Any) -> str:
    """Run a task, and give the address that its link leads to."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    run_task(operator, **parameters)
    with create_session() as session:
        newest = select(XComModel).where(XComModel.key == "_link_RunReportLink")
        return str(session.scalars(newest.order_by(XComModel.timestamp.desc()).limit(1)).one().value)


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)).split())


def test_a_stranger_sees_nothing(client: TestClient, sandbox: Sandbox, sqlite_database: Database) -> None:
    sqlite_database.contacts(PHONES)
    url = report_of(**FROM_CONTACTS, result_table="filed")

    for address in ("/kaleyra/", url):
        answer = client.get(address)
        assert answer.status_code in (401, 403)
        assert "filed" not in answer.text


@pytest.mark.parametrize("token", ["made up", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."])
def test_a_token_that_is_none_opens_nothing(client: TestClient, token: str) -> None:
    answer = client.get("/kaleyra/", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code in (401, 403)


def test_somebody_without_a_role_sees_nothing(as_user: Callable[..., TestClient]) -> None:
    assert as_user(None).get("/kaleyra/").status_code == 403


def test_a_dags_report_is_shown_to_those_alone_who_may_see_the_dag(
    as_user: Callable[..., TestClient], sandbox: Sandbox, sqlite_database: Database
) -> None:
    sqlite_database.contacts(PHONES)
    url = report_of(**FROM_CONTACTS, result_table="of_another_dag")
    dag_id = parse_qs(urlsplit(url).query)["dag_id"][0]
    allowed, refused = as_user(dag_ids={dag_id}), as_user(dag_ids={"something_else"})

    assert refused.get(url).status_code == 403
    # Whichever of two names is looked at, both must be allowed.
    assert refused.get(f"{url}&dag_id=something_else").status_code == 404
    assert refused.get(f"/kaleyra/run?dag_id=something_else&{urlsplit(url).query}").status_code == 403
    assert "of_another_dag" not in refused.get("/kaleyra/").text
    as_user(dag_ids={dag_id})
    assert allowed.get(url).status_code == 200


def test_the_tasks_link_leads_to_its_report(
    as_user: Callable[..., TestClient], sandbox: Sandbox, database: Database
) -> None:
    database.contacts([*PHONES, "9812345678"])
    answer = as_user().get(report_of(**FROM_CONTACTS, result_table="filed"))
    said = text_of(answer.text)

    assert answer.status_code == 200
    assert "RCS capability: filed" in said
    assert "inputs 151 distinct 150" in said
    assert "no_country_code 1 1" in said
    assert "default_region" in said
    assert "RCS reach by carrier" in said
    assert answer.text.count("<svg") > 5


def test_no_number_is_on_any_page(
    as_user: Callable[..., TestClient], sandbox: Sandbox, database: Database, leaks: Leaks
) -> None:
    database.contacts([*PHONES, "9812345678", f"{PHONES[0]} / {PHONES[1]}"])
    sandbox.fault("missing", number=PHONES[3])
    urls = [
        report_of(operator, **FROM_CONTACTS, result_table=table, max_failed=1)
        for operator, table in ((RcsCapabilityOperator, "filed"), (NumberLookupOperator, "filed_numbers"))
    ]
    # Free text of others can hold anything.
    database.execute("UPDATE filed SET carrier_id = :x, reason = :x", {"x": f"carrier of {PHONES[5]}"})
    database.execute("UPDATE filed_numbers SET country = :x, current_operator = :x", {"x": PHONES[6]})
    pages = [as_user().get(address).text for address in (*urls, "/kaleyra/")]

    leaks.watch(PHONES)
    assert [leaks.leaks(page) for page in pages] == [False, False, False]
    assert all("filed" in page for page in pages)
    assert "carrier of" in pages[0]


def test_the_list_has_the_latest_run_of_each_table(
    as_user: Callable[..., TestClient], sandbox: Sandbox, sqlite_database: Database
) -> None:
    sqlite_database.contacts(PHONES)
    older = report_of(**FROM_CONTACTS, result_table="listed")
    newer = report_of(**FROM_CONTACTS, result_table="listed")
    other = report_of(NumberLookupOperator, **FROM_CONTACTS, result_table="listed_too")
    page = html.unescape(as_user().get("/kaleyra/").text)

    assert [urlsplit(url).query in page for url in (older, newer, other)] == [False, True, True]


def test_mapped_tasks_have_a_report_each(
    as_user: Callable[..., TestClient], sandbox: Sandbox, sqlite_database: Database
) -> None:
    sqlite_database.contacts(PHONES)
    ran = run(
        lambda: RcsCapabilityOperator.partial(task_id="task", **FROM_CONTACTS, result_table="sharded").expand(
            shard=[[0, 2], [1, 2]]
        ),
        dag_id="dag_mapped_report",
    )
    from airflow.models.dagrun import DagRun

    (dag_run,) = DagRun.find(dag_id="dag_mapped_report")
    for index in (0, 1):
        summary = ran[f"task/{index}"].summary
        assert summary is not None
        query = {
            "dag_id": "dag_mapped_report",
            "task_id": "task",
            "run_id": dag_run.run_id,
            "map_index": index,
        }
        said = text_of(as_user().get("/kaleyra/run", params=query).text)
        assert f"inputs {summary['inputs']} " in said
        assert f"ok {summary['ok']} 150 Nothing to do." in said


def test_a_run_that_nobody_knows_has_no_report(as_user: Callable[..., TestClient]) -> None:
    query = {"dag_id": "no", "task_id": "such", "run_id": "run"}

    assert as_user().get("/kaleyra/run", params=query).status_code == 404


def test_a_task_without_a_table_has_a_report_of_its_summary(
    as_user: Callable[..., TestClient], sandbox: Sandbox
) -> None:
    said = text_of(as_user().get(report_of(numbers=PHONES[:3])).text)

    assert "inputs 3 distinct 3" in said
    assert "Outcomes" not in said


def forge(url: str, value: dict[str, Any]) -> None:
    """Put something else where the task has left its place."""
    from airflow.models.xcom import XComModel

    query = parse_qs(urlsplit(url).query)
    XComModel.set(
        "kaleyra_report", value, **{name: query[name][0] for name in ("dag_id", "task_id", "run_id")}
    )


@pytest.mark.parametrize(
    ("conn_id", "table"),
    [
        ("warehouse", "contacts"),
        ("warehouse", 'filed" UNION SELECT phone FROM contacts --'),
        ("warehouse", "<script>alert(1)</script>"),
        ("no_such_connection", "filed"),
        ("kaleyra_default", "filed"),
    ],
)
def test_a_forged_place_shows_nothing_of_other_tables(
    as_user: Callable[..., TestClient],
    sandbox: Sandbox,
    sqlite_database: Database,
    leaks: Leaks,
    conn_id: str,
    table: str,
) -> None:
    sqlite_database.contacts(PHONES)
    url = report_of(**FROM_CONTACTS, result_table="filed")
    forge(url, {"api": "rcs", "conn_id": conn_id, "result_table": table})
    answer = as_user().get(url)

    leaks.watch(PHONES)
    assert answer.status_code == 200
    assert 'class="problem"' in answer.text
    assert "what to do" not in answer.text
    assert "<script" not in answer.text
    assert not leaks.leaks(answer.text)
    assert sqlite_database.rows("SELECT count(*) AS n FROM contacts") == [{"n": 150}]


def test_pages_load_nothing_from_elsewhere_and_are_not_kept(
    as_user: Callable[..., TestClient], sandbox: Sandbox, sqlite_database: Database
) -> None:
    sqlite_database.contacts(PHONES)
    url = report_of(**FROM_CONTACTS, result_table="filed")
    for address in ("/kaleyra/", url):
        answer = as_user().get(address)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert re.findall(r'(?:src|href)="(?!run\?|\./")', answer.text) == []


def test_the_ui_is_told_of_the_page(as_user: Callable[..., TestClient]) -> None:
    answer = as_user("admin").get("/api/v2/plugins").json()
    (plugin,) = [each for each in answer["plugins"] if each["name"] == "kaleyra_run_report"]
    (view,) = plugin["external_views"]

    assert (view["destination"], view["href"], view["url_route"]) == ("nav", "/kaleyra/", "kaleyra")
