"""A real Airflow: each component a process of its own, the metadata in PostgreSQL."""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import psutil
import requests

from tests.support.databases import postgres

ROOT = Path(__file__).parents[2]
PATIENCE = 600.0
"""Seconds that something may take on a machine that is busy with something else."""


def free_ports(count: int) -> list[int]:
    """Give ports that nobody listens at."""
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def kill(leader: psutil.Process) -> None:
    """End all processes of a session with `kill -9`, as a machine does that loses its power."""
    while family := _session(leader.pid):
        # Stopped first, so that none sees another die.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for one in family:
                with suppress(psutil.NoSuchProcess):
                    one.send_signal(number)
        time.sleep(0.05)
    leader.wait()


def _session(leader: int) -> list[psutil.Process]:
    family = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                family.append(process)
    return family


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


class Airflow:
    """A deployment, from `with` to its end: then no process of it is left.

    :param folder: an empty folder for its home.
    :param server: URL of a PostgreSQL server for the metadata.
    :param dags: the DAG files.
    :param environment: what its processes find in their environment, such as `AIRFLOW_CONN_…`.
    :param machines: how many Celery workers; with none, the LocalExecutor does the work.
    :param tasks: how many tasks a worker, or the LocalExecutor, runs at a time.
    :param python: the interpreter whose Airflow it is.
    """

    def __init__(
        self,
        folder: Path,
        server: str,
        dags: Iterable[Path],
        environment: dict[str, str],
        *,
        python: str,
        machines: int = 0,
        tasks: int = 2,
        triggerer: bool = False,
    ) -> None:
        self.folder = folder
        self.machines = machines
        self._server = server
        self._dags = list(dags)
        self._command = str(Path(python).with_name("airflow"))
        self._tasks = tasks
        self._triggerer = triggerer
        self._running: dict[str, psutil.Process] = {}
        self._session = requests.Session()
        self._session.trust_env = False
        self._stack = ExitStack()
        self._environment = environment
        version = subprocess.run(
            [python, "-c", "from importlib.metadata import version; print(version('apache-airflow'))"],
            capture_output=True,
            text=True,
            check=True,
        )
        self.version = int(version.stdout.partition(".")[0])

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for process in list(self._running.values()):
            kill(process)
        self._session.close()
        self._stack.close()
        if kind is not None:
            print(self.tails())

    def _begin(self) -> None:
        port, redis_port = free_ports(2)
        self._url = f"http://127.0.0.1:{port}"
        database = self._stack.enter_context(postgres(self._server, f"airflow_{uuid4().hex}"))
        metadata = database.engine.url.render_as_string(hide_password=False)
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            **settings(self.folder, port, metadata),
            "AIRFLOW__CORE__PARALLELISM": str(self._tasks),
            **self._environment,
        }
        dags = self.folder / "dags"
        dags.mkdir()
        for file in self._dags:
            shutil.copy(file, dags)
        config = self.folder / "config"
        config.mkdir()
        shutil.copy(Path(__file__).with_name("local_settings.py"), config / "airflow_local_settings.py")
        if self.machines:
            broker = f"redis://127.0.0.1:{redis_port}"
            self._env |= {
                "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
                "AIRFLOW__CORE__PARALLELISM": str(self._tasks * self.machines),
                "AIRFLOW__CELERY__BROKER_URL": f"{broker}/0",
                "AIRFLOW__CELERY__RESULT_BACKEND": f"{broker}/1",
            }
            redis = ["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", ""]
            self._start("redis", [*redis, "--appendonly", "no", "--dir", str(self.folder)])
        self._run("db", "migrate")
        self._authenticate()
        head = {2: ["webserver"], 3: ["api-server", "dag-processor"]}[self.version]
        for component in (*head, "scheduler"):
            self._start(component, [self._command, component, *_OPTIONS.get(component, ())])
        if self._triggerer:
            self.start_triggerer()
        for number in range(1, self.machines + 1):
            self.start_machine(number)

    def start_triggerer(self) -> None:
        """Start the triggerer, or start it again."""
        self._start("triggerer", [self._command, "triggerer", "--skip-serve-logs"])

    def start_machine(self, number: int) -> None:
        """Start a worker that stands for a machine of its own."""
        name = f"machine-{number}"
        worker = [self._command, "celery", "worker", "--skip-serve-logs", "--celery-hostname", name]
        quick = ["--without-mingle", "--without-gossip", "--concurrency", str(self._tasks)]
        self._start(name, [*worker, *quick], LIVE_MACHINE=name)

    def kill(self, name: str) -> None:
        """`kill -9` a component and the tasks that it runs."""
        kill(self._running.pop(name))

    def working(self) -> list[str]:
        """Give the titles of the processes that execute a task under the LocalExecutor."""
        family = self._running["scheduler"].children(recursive=True)
        return [title for title in map(_title, family) if _TASK.match(title)]

    def _start(self, name: str, command: Sequence[str], **environment: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**self._env, **environment},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[name] = psutil.Process(process.pid)

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            [self._command, *arguments], env=self._env, cwd=self.folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _authenticate(self) -> None:
        """Airflow 3 gives every caller a token here; Airflow 2 wants a user."""
        if self.version == 2:
            person = ["--firstname", "A", "--lastname", "B", "--email", "a@b.example", "--role", "Admin"]
            self._run("users", "create", "--username", "admin", "--password", "admin", *person)
            self._session.auth = ("admin", "admin")

    def api(self, method: str, path: str, **arguments: Any) -> Any:
        """Call the REST API; give the answer's document, or nothing where nothing is found."""
        if self.version == 3 and "Authorization" not in self._session.headers:
            token = self._session.get(f"{self._url}/auth/token", timeout=60)
            token.raise_for_status()
            self._session.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
        root = {2: "/api/v1", 3: "/api/v2"}[self.version]
        answer = self._session.request(method, f"{self._url}{root}{path}", timeout=60, **arguments)
        if answer.status_code == 404:
            return None
        assert answer.ok, answer.text
        return answer.json()

    def trigger(self, dag: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run of a DAG as soon as Airflow knows it; give its id."""
        run = uuid4().hex[:8]
        body: dict[str, Any] = {"dag_run_id": run, "conf": conf or {}}
        if self.version == 3:
            body["logical_date"] = None
        self.wait(f"DAG {dag}", lambda: self._reachable("POST", f"/dags/{dag}/dagRuns", json=body))
        return run

    def _reachable(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            return self.api(method, path, **arguments)
        except requests.ConnectionError:
            return None

    def state(self, dag: str, run: str) -> str:
        """Give the state of a run."""
        return str(self.api("GET", f"/dags/{dag}/dagRuns/{run}")["state"])

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """Give a run's task instances as the API shows them."""
        path = f"/dags/{dag}/dagRuns/{run}/taskInstances"
        found: list[dict[str, Any]] = []
        while True:
            page = self.api("GET", path, params={"limit": 100, "offset": len(found)})
            found += page["task_instances"]
            if len(found) >= page["total_entries"]:
                return found

    def tries(self, dag: str, run: str, task: str, map_index: int = -1) -> list[dict[str, Any]]:
        """Give all tries of a task instance, the first one first."""
        mapped = f"/{map_index}" if map_index >= 0 else ""
        page = self.api("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}{mapped}/tries")
        return sorted(page["task_instances"], key=lambda one: one["try_number"])

    def finish(self, dag: str, run: str, seconds: float = PATIENCE) -> str:
        """Wait for the end of a run; give its state."""
        states: list[str] = []

        def ended() -> bool:
            states.append(self.state(dag, run))
            return states[-1] in ("success", "failed")

        self.wait(f"end of {dag}", ended, seconds)
        return states[-1]

    def wait(self, what: str, happened: Callable[[], Any], seconds: float = PATIENCE) -> None:
        """Wait for an event, while all components live."""
        deadline = time.monotonic() + seconds
        while not happened():
            for name, process in self._running.items():
                dead = not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
                assert not dead, f"{name} has ended while waiting for {what}"
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
            time.sleep(0.2)

    def tails(self, lines: int = 60) -> str:
        """Give the ends of all components' logs."""
        parts = []
        for log in sorted(self.folder.glob("*.log")):
            with log.open(errors="replace") as text:
                parts.append(f"==== {log.name}\n{''.join(deque(text, lines))}")
        return "\n".join(parts)

    @property
    def logs(self) -> list[Path]:
        """The components' and the tasks' logs."""
        return [*self.folder.glob("*.log"), *(self.folder / "logs").rglob("*.log")]


_TASK = re.compile(r"airflow (task|worker -- [0-9a-f-]{36})")
_OPTIONS = {
    "scheduler": ["--skip-serve-logs"],
    "api-server": ["--workers", "1"],
    "webserver": ["--workers", "1"],
}


def settings(home: Path, port: int, metadata: str) -> dict[str, str]:
    """Give the settings of a deployment as environment variables; quick to notice what has died."""
    url = f"http://127.0.0.1:{port}"
    sections = {
        "core": {
            "executor": "LocalExecutor",
            "dags_folder": f"{home}/dags",
            "load_examples": "False",
            "dags_are_paused_at_creation": "False",
            "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "hostname_callable": "tests.live.machine.name",
            "simple_auth_manager_all_admins": "True",
            "execution_api_server_url": f"{url}/execution/",
            "max_active_tasks_per_dag": "64",
        },
        "database": {"sql_alchemy_conn": metadata, "load_default_connections": "False"},
        "api": {
            "port": str(port),
            "host": "127.0.0.1",
            "base_url": url,
            "secret_key": secrets.token_hex(),
            "auth_backends": "airflow.api.auth.backend.basic_auth",
        },
        "api_auth": {"jwt_secret": secrets.token_hex()},
        "webserver": {
            "web_server_port": str(port),
            "web_server_host": "127.0.0.1",
            "base_url": url,
            "secret_key": secrets.token_hex(),
        },
        "dag_processor": {"refresh_interval": "5", "parsing_processes": "1"},
        # A call that is given up is made again, and Airflow takes it for a second one.
        "workers": {"min_heartbeat_interval": "2", "execution_api_timeout": "60"},
        "scheduler": {
            "job_heartbeat_sec": "2",
            "scheduler_idle_sleep_time": "0.2",
            "scheduler_heartbeat_sec": "1",
            "parsing_processes": "1",
            "task_instance_heartbeat_sec": "2",
            "task_instance_heartbeat_timeout": "20",
            "task_instance_heartbeat_timeout_detection_interval": "2",
            "local_task_job_heartbeat_sec": "2",
            "scheduler_zombie_task_threshold": "20",
            "zombie_detection_interval": "2",
            # So long a task may also wait for a slot: its token is good for no longer.
            "task_queued_timeout": "400",
            "task_queued_timeout_check_interval": "5",
            "max_tis_per_query": "64",
        },
        "triggerer": {"job_heartbeat_sec": "2", "triggerer_health_check_threshold": "10"},
        "celery": {"worker_prefetch_multiplier": "1"},
        "usage_data_collection": {"enabled": "False"},
    }
    return {
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": str(ROOT),
        **{
            f"AIRFLOW__{section.upper()}__{option.upper()}": value
            for section, options in sections.items()
            for option, value in options.items()
        },
    }
