"""Requests in flight: ours against a loop, and against aiohttp with as many in flight."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.benchmarks.measure import Measured, Service, Work, fresh, numbers, ratio, rounds, service, table

LATENCY_MS = 100
ROUNDS = 3
Request = tuple[str, str, bytes | None]
"""Method, path and body."""


def batches(endpoint: str, many: list[str]) -> list[list[str]]:
    size = {"single": 1, "bulk": 500, "numbers": 100}[endpoint]
    return [many[start : start + size] for start in range(0, len(many), size)]


def request(endpoint: str, sid: str, batch: list[str]) -> Request:
    """What a client without this package would send."""
    if endpoint == "single":
        return "GET", f"/v1/{sid}/rcs/lookup/%2B{batch[0][1:]}", None
    if endpoint == "bulk":
        return "POST", f"/v1/{sid}/rcs/lookup/bulk", json.dumps({"deviceAddresses": batch}).encode()
    return "GET", f"/v1/{sid}/lookup/{','.join(number[1:] for number in batch)}", None


def headers(at: Service) -> dict[str, str]:
    return {"api-key": at.api_key, "Accept": "application/json", "Content-Type": "application/json"}


def count(endpoint: str, answer: Any) -> int:
    return len([answer["data"]] if endpoint == "single" else answer["data"])


def ours(at: Service, endpoint: str, many: list[str], workers: int) -> Work:
    hook = airflow_hook(at)
    if endpoint == "numbers":
        ask = partial(hook.lookup_numbers, many, batch_size=100, max_workers=workers)
    else:
        size = 1 if endpoint == "single" else 500
        ask = partial(hook.lookup_devices, many, batch_size=size, max_workers=workers)
    hook.get_conn()
    return lambda: sum(lookup.status == "ok" for lookup in ask())


def airflow_hook(at: Service, **extra: Any) -> Any:
    """The hook of a connection, as a task has it."""
    import os

    from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

    os.environ["AIRFLOW_CONN_KALEYRA_DEFAULT"] = json.dumps(
        {
            "conn_type": "kaleyra",
            "login": at.sid,
            "password": at.api_key,
            "host": at.url,
            "extra": {"rcs_host": at.url, **extra},
        }
    )
    return KaleyraHook()


def http_hook_loop(at: Service, endpoint: str, many: list[str], _: int) -> Work:
    import os

    from airflow.providers.http.hooks.http import HttpHook

    os.environ["AIRFLOW_CONN_HTTP_DEFAULT"] = json.dumps({"conn_type": "http", "host": at.url})

    def work() -> int:
        found = 0
        for batch in batches(endpoint, many):
            method, path, body = request(endpoint, at.sid, batch)
            answer = HttpHook(method=method).run(path, data=body, headers=headers(at))
            found += count(endpoint, answer.json())
        return found

    return work


def requests_loop(at: Service, endpoint: str, many: list[str], _: int) -> Work:
    import requests

    def work() -> int:
        found = 0
        with requests.Session() as session:
            session.headers.update(headers(at))
            for batch in batches(endpoint, many):
                method, path, body = request(endpoint, at.sid, batch)
                found += count(endpoint, session.request(method, at.url + path, data=body).json())
        return found

    return work


def aiohttp_workers(at: Service, endpoint: str, many: list[str], workers: int) -> Work:
    import aiohttp
    from yarl import URL

    async def work() -> int:
        found = 0
        waiting = iter(batches(endpoint, many))
        connector = aiohttp.TCPConnector(limit=workers)
        async with aiohttp.ClientSession(headers=headers(at), connector=connector) as session:

            async def worker() -> None:
                nonlocal found
                for batch in waiting:
                    method, path, body = request(endpoint, at.sid, batch)
                    async with session.request(method, URL(at.url + path, encoded=True), data=body) as answer:
                        found += count(endpoint, await answer.json())

            await asyncio.gather(*(worker() for _ in range(workers)))
        return found

    return lambda: asyncio.run(work())


def sandbox_alone(at: Service, endpoint: str, many: list[str], workers: int) -> Work:
    """A client that does next to nothing: requests written beforehand, answers not looked at."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers(at).items())

    def raw(batch: list[str]) -> bytes:
        method, path, body = request(endpoint, at.sid, batch)
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        return f"{method} {path} HTTP/1.1\r\nHost: sandbox\r\n{head}{length}\r\n".encode() + (body or b"")

    ready = [raw(batch) for batch in batches(endpoint, many)]
    host, port = at.url.removeprefix("http://").split(":")

    async def worker(waiting: Iterator[bytes]) -> None:
        reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
        for message in waiting:
            writer.write(message)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(answer.partition(b"content-length:")[2].split(b"\r")[0]))
        writer.close()

    async def work() -> int:
        waiting = iter(ready)
        await asyncio.gather(*(worker(waiting) for _ in range(workers)))
        return len(many)

    return lambda: asyncio.run(work())


def contend(at: Service, work: Callable[..., Work], endpoint: str, many: list[str], workers: int) -> Measured:
    """Measure one contender, and see in the account that it asked about every number once."""
    at.reset()
    measured = fresh(work, at, endpoint, many, workers)
    bought = at.account("purchases")["purchases"]["number" if endpoint == "numbers" else "rcs"]
    assert measured.value == len(many) == len(bought) == sum(bought.values()), (endpoint, measured.value)
    return measured


def compare(at: Service, endpoint: str, workers: int, many: list[str], few: list[str]) -> None:
    """Print a table of one endpoint: `many` numbers for those that have them in flight, `few` for loops."""
    contenders: dict[str, tuple[Callable[..., Work], list[str]]] = {
        f"ours, {workers} in flight": (ours, many),
        f"aiohttp, {workers} in flight": (aiohttp_workers, many),
        "a loop of requests": (requests_loop, few),
        "a loop of HttpHook.run": (http_hook_loop, few),
    }
    runs = {
        name: partial(contend, at, work, endpoint, asked, workers)
        for name, (work, asked) in contenders.items()
    }
    found = rounds(runs, ROUNDS)
    speeds = {
        name: [len(contenders[name][1]) / run.wall for run in measured] for name, measured in found.items()
    }
    mine = next(iter(speeds.values()))
    table(
        f"{endpoint}, {LATENCY_MS} ms",
        ["", "numbers/s", "ours to this", "CPU s/1,000", "peak MB", "of it added"],
        [
            [
                name,
                sorted(speeds[name])[ROUNDS // 2],
                f"{ratio(mine, speeds[name]):.2f}",
                min(run.cpu for run in measured) / len(contenders[name][1]) * 1000,
                max(run.peak for run in measured),
                max(run.peak - run.base for run in measured),
            ]
            for name, measured in found.items()
        ],
    )


def main() -> None:
    many = numbers(100_000)
    with service() as at:
        rows = []
        for endpoint, workers, asked in [("single", 64, 5_000), ("bulk", 8, 50_000), ("numbers", 8, 20_000)]:
            run = contend(at, sandbox_alone, endpoint, many[:asked], workers)
            rows.append([endpoint, asked / run.wall, len(batches(endpoint, many[:asked])) / run.wall])
        table("The sandbox alone, without latency", ["", "numbers/s", "requests/s"], rows)
    with service("--latency-ms", str(LATENCY_MS)) as at:
        compare(at, "single", 64, many[:3_200], many[:50])
        compare(at, "bulk", 8, many[:100_000], many[:15_000])
        compare(at, "numbers", 8, many[:20_000], many[:3_000])
