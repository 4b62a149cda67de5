"""What a DAG file pays for importing an operator, on top of what Airflow and common.sql's hook cost."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from statistics import median

from tests.benchmarks.measure import table

BEFORE = "import airflow.sdk\nfrom airflow.providers.common.sql.hooks.sql import DbApiHook"
IMPORTS = {
    "ours: both operators": (
        "import airflow_provider_kaleyra.operators.rcs, airflow_provider_kaleyra.operators.number_lookup"
    ),
    "HttpOperator": "import airflow.providers.http.operators.http",
}
ROUNDS = 5


def milliseconds(code: str, home: str) -> float:
    # Whoever comes next pays for a full collection of what Airflow has loaded: nobody here does.
    script = (
        f"import gc, time\n{BEFORE}\ngc.collect()\nbegan = time.perf_counter()\n{code}\n"
        "print(time.perf_counter() - began)"
    )
    environment = {**os.environ, "AIRFLOW_HOME": home}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    return float(run.stdout.split()[-1]) * 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        found = {name: [milliseconds(code, home) for _ in range(ROUNDS)] for name, code in IMPORTS.items()}
    rows = [[name, min(times), median(times)] for name, times in found.items()]
    table("Imports, on top of airflow.sdk and DbApiHook", ["", "least ms", "median ms"], rows)
