"""A running sandbox and a plain `requests` client for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import pytest
import requests

from airflow_provider_kaleyra.sandbox import Sandbox, subscriber


class Client:
    """Sends exactly what a test says, with the documented headers by default."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.clear()

    def send(self, method: str, path: str, **options: object) -> requests.Response:
        options.setdefault("timeout", 10)
        headers = {"api-key": self.sandbox.api_key, "Accept": "application/json"}
        headers |= {"Content-Type": "application/json"} | options.pop("headers", {})
        headers = {key: value for key, value in headers.items() if value is not None}
        url = self.sandbox.url + path.format(sid=self.sandbox.sid)
        return self.session.request(method, url, headers=headers, allow_redirects=False, **options)

    def single(self, number: str, **options: object) -> requests.Response:
        return self.send("GET", f"/v1/{{sid}}/rcs/lookup/{number.replace('+', '%2B')}", **options)

    def bulk(self, numbers: list[object], **options: object) -> requests.Response:
        return self.send("POST", "/v1/{sid}/rcs/lookup/bulk", json={"deviceAddresses": numbers}, **options)

    def get(self, *numbers: str, **options: object) -> requests.Response:
        return self.send("GET", f"/v1/{{sid}}/lookup/{','.join(numbers)}", **options)


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Sandbox:
    """A sandbox with an empty account and no faults; a test that needs other settings starts its own."""
    shared_sandbox.reset()
    return shared_sandbox


@pytest.fixture
def connect() -> Iterator[Callable[[Sandbox], Client]]:
    """Make clients; their connections are closed at the end."""
    clients: list[Client] = []

    def make(sandbox: Sandbox) -> Client:
        clients.append(Client(sandbox))
        return clients[-1]

    yield make
    for client in clients:
        client.session.close()


@pytest.fixture
def client(sandbox: Sandbox, connect: Callable[[Sandbox], Client]) -> Client:
    return connect(sandbox)


def numbers_where(assigned: bool = True, start: int = 0) -> Iterator[str]:
    candidates = (f"+9198{n:08d}" for n in range(start, 100_000_000))
    return (number for number in candidates if subscriber(number).assigned is assigned)


@pytest.fixture(scope="session")
def assigned() -> list[str]:
    """600 Indian numbers that somebody has."""
    return list(islice(numbers_where(), 600))


@pytest.fixture(scope="session")
def unassigned() -> list[str]:
    """Ten Indian numbers that nobody has."""
    return list(islice(numbers_where(assigned=False), 10))
