"""A task process that can be killed at a chosen moment, forked from a server that has all its imports."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.providers_manager import ProvidersManager

import airflow_provider_kaleyra.enrichment.assemble  # noqa: F401
from airflow_provider_kaleyra import phone
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from tests.support.moments import Moments

OPERATORS = {"rcs": RcsCapabilityOperator, "number": NumberLookupOperator}
# What a process loads when it first reads a number or a connection, loaded once for all.
phone.read("+12015550123")
HOOKS = [ProvidersManager().hooks[kind] for kind in ("sqlite", "postgres", "kaleyra")]

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.crash.worker"])


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
    moments.watch()
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
