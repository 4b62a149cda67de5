"""One run of the example DAG in an Airflow of its own. `kaleyra-demo` starts this as a process of its own."""

from __future__ import annotations

import json
import runpy
import signal
import sys
from pathlib import Path
from typing import Any


def main(dag_file: str, report: str) -> int:
    """Run the DAG of a file and write what became of its tasks; gives 0 if all succeeded."""
    # A shell that starts the demo in the background has SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Airflow reads its environment when it is imported; the process was started with the demo's.
    from airflow import __version__
    from airflow.utils.db import initdb

    initdb()
    dag = runpy.run_path(dag_file)["dag"]
    dag_run = dag.test()
    tasks: dict[str, dict[str, Any]] = {
        ti.task_id: {"state": str(ti.state), "summary": ti.xcom_pull(task_ids=ti.task_id, key="summary")}
        for ti in dag_run.get_task_instances()
    }
    Path(report).write_text(json.dumps({"airflow": __version__, "tasks": tasks}), encoding="utf-8")
    return 0 if all(task["state"] == "success" for task in tasks.values()) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
