"""A real Airflow with its UI: metadata, API server and the demo's runs in a folder of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from airflow_provider_kaleyra.demo.folder import Folder
from airflow_provider_kaleyra.sandbox import Sandbox

USER, PASSWORD = "admin", "admin-of-this-test"
PATIENCE = 180.0


@dataclass(frozen=True)
class Server:
    """Where it listens, and the environment that its processes run in."""

    url: str
    environment: dict[str, str]

    def airflow(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command `airflow`."""
        return subprocess.run(
            [str(Path(sys.executable).with_name("airflow")), *arguments],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def session(self) -> requests.Session:
        """Give a session of the REST API."""
        session = requests.Session()
        session.trust_env = False
        user = {"username": USER, "password": PASSWORD}
        token = session.post(f"{self.url}/auth/token", json=user, timeout=60)
        token.raise_for_status()
        session.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
        return session


@contextmanager
def served(root: Path, sandbox: Sandbox) -> Iterator[Server]:
    """Run the demo's DAG, then serve what it left, until the end of the `with`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    folder = Folder(root)
    with folder.taken():
        folder.prepare(fresh=False)
        server = Server(url, folder.environment(sandbox.airflow_uri) | _settings(folder, url))
        _run(server, "-m", "airflow_provider_kaleyra.demo.airflow_run", str(folder.dag), str(folder.report))
        # The API server finds the connection where most are: in Airflow's metadata.
        database = server.environment.pop("AIRFLOW_CONN_WAREHOUSE")
        added = server.airflow("connections", "add", "warehouse", "--conn-json", database)
        assert added.returncode == 0, added.stdout + added.stderr
        with (root / "api-server.log").open("wb") as log:
            process = subprocess.Popen(
                [str(Path(sys.executable).with_name("airflow")), "api-server", "--workers", "1"],
                env=server.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait(process, url, root / "api-server.log")
            yield server
        finally:
            process.terminate()
            process.wait(timeout=60)


def _settings(folder: Folder, url: str) -> dict[str, Any]:
    folder.airflow_home.mkdir()
    passwords = folder.airflow_home / "passwords.json"
    passwords.write_text(json.dumps({USER: PASSWORD}))
    return {
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__PORT": url.rpartition(":")[2],
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "of this test alone, and long enough " * 2,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    }


def _run(server: Server, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], env=server.environment, capture_output=True, text=True, check=False
    )
    # A run whose tasks failed is one to look at, too.
    assert done.returncode in (0, 1), done.stdout + done.stderr


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{url}/api/v2/monitor/health", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise AssertionError(f"The API server did not start:\n{log.read_text()[-4000:]}")
