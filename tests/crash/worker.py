"""A task process that can be killed at a chosen moment, forked from a server that has all its imports."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.providers_manager import ProvidersManager
from sqlalchemy import event
from sqlalchemy.engine import Engine

import airflow_provider_kaleyra.enrichment.assemble  # noqa: F401
from airflow_provider_kaleyra import phone
from airflow_provider_kaleyra.api.transport import Transport
from airflow_provider_kaleyra.enrichment.ledger import Ledger
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator

OPERATORS = {"rcs": RcsCapabilityOperator, "number": NumberLookupOperator}
# What a process loads when it first reads a number or a connection, loaded once for all.
phone.read("+12015550123")
HOOKS = [ProvidersManager().hooks[kind] for kind in ("sqlite", "postgres", "kaleyra")]

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.crash.worker"])


class Moments:
    """Counts the moments before, in and after claims, requests and settlements, and ends it all at one."""

    def __init__(self, fatal: int | None) -> None:
        self._fatal = fatal
        self._count = itertools.count(1)
        self._lock = threading.Lock()
        self.seen = 0

    def pass_one(self, *_: object) -> None:
        with self._lock:
            self.seen = next(self._count)
            if self.seen == self._fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, kind: type, name: str) -> None:
        original: Callable[..., Any] = getattr(kind, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            self.pass_one()
            result = original(*args, **kwargs)
            self.pass_one()
            return result

        setattr(kind, name, watched)


def work(
    environment: dict[str, str],
    api: str,
    dag: str,
    parameters: dict[str, Any],
    report: str,
    fatal: int | None,
) -> None:
    """Execute an operator as one try of a task, and leave a report if it lives to do so."""
    os.environ.update(environment)
    moments = Moments(fatal)
    for kind, name in ((Ledger, "claim"), (Ledger, "settle"), (Transport, "send")):
        moments.around(kind, name)
    event.listen(Engine, "commit", moments.pass_one)
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id=dag,
        task_id="task",
        run_id="run",
        map_index=-1,
        xcom_push=lambda key, value: pushed.update({key: value}),
    )
    error = None
    try:
        OPERATORS[api](task_id="task", **parameters).execute({"ti": ti})
    except Exception as caught:
        error = f"{type(caught).__name__}: {caught}"
    Path(report).write_text(json.dumps({"moments": moments.seen, "error": error, **pushed}))


class Try:
    """One try of a task in a process of its own."""

    def __init__(
        self, folder: Path, api: str, dag: str, parameters: dict[str, Any], fatal: int | None = None
    ):
        self._report = folder / f"{dag}-{fatal}-{id(self)}.json"
        environment = {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW")}
        self.process = FORKS.Process(
            target=work, args=(environment, api, dag, parameters, str(self._report), fatal)
        )
        self.process.start()

    def end(self) -> dict[str, Any] | None:
        """Wait for its end; give its report, or nothing if it was killed."""
        self.process.join(120)
        assert self.process.exitcode in (0, -signal.SIGKILL)
        return json.loads(self._report.read_text()) if self.process.exitcode == 0 else None
