"""How much of what a service allows is used, and how often it has to refuse."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.api.conftest import most_in_a_second
from tests.benchmarks.http import airflow_hook
from tests.benchmarks.measure import Service, Work, fresh, numbers, service, table

ALLOWED = 500
ASKED = 3_000
PROCESSES = 4


def singles(at: Service, many: list[str], workers: int, extra: dict[str, Any]) -> Work:
    hook = airflow_hook(at, **extra)
    hook.get_conn()
    return lambda: sum(
        lookup.status == "ok" for lookup in hook.lookup_devices(many, batch_size=1, max_workers=workers)
    )


def row(name: str, at: Service, processes: int = 1, **extra: Any) -> list[object]:
    """Ask about numbers from so many processes, and see in the account what the service made of it."""
    at.reset()
    many = numbers(ASKED)
    with ThreadPoolExecutor(processes) as pool:
        parts = [many[part::processes] for part in range(processes)]
        ok = sum(run.value for run in pool.map(lambda part: fresh(singles, at, part, 64, extra), parts))
    requests = at.account("requests")
    moments = sorted(request["at"] for request in requests)
    refused = Counter(request["status"] for request in requests)[429]
    served = (ASKED - 1) / (moments[-1] - moments[0])
    return [
        name,
        f"{ok:,} of {ASKED:,}",
        served,
        served / ALLOWED,
        1000 * refused / ASKED,
        most_in_a_second(moments),
    ]


@contextmanager
def redis() -> Iterator[str | None]:
    """A Redis server, if there is one to be had."""
    if shutil.which("redis-server") is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder, "redis.sock")
        command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while not socket.exists():
            time.sleep(0.01)
        yield f"unix://{socket}"
        server.terminate()
        server.wait()


def main() -> None:
    ceiling = {"requests_per_second": ALLOWED}
    with (
        service("--requests-per-second", str(ALLOWED), "--latency-ms", "20") as at,
        tempfile.TemporaryDirectory() as folder,
        redis() as redis_url,
    ):
        rows = [
            row(f"requests_per_second={ALLOWED}", at, **ceiling),
            row("no ceiling: waiting together when told to", at),
            row(
                f"{PROCESSES} processes, SQLite file",
                at,
                PROCESSES,
                shared_limit=f"{folder}/limit.db",
                **ceiling,
            ),
        ]
        if redis_url:
            rows.append(
                row(f"{PROCESSES} processes, Redis", at, PROCESSES, shared_limit=redis_url, **ceiling)
            )
    head = ["", "ok", "served/s", "of what is allowed", "refused of 1,000", "most in a second"]
    table(f"A service that allows {ALLOWED} requests a second, 64 workers a process", head, rows)
