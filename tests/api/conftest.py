"""A client of the sandbox, whose retries come at once."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable

import pytest

from airflow_provider_kaleyra.api import retry
from airflow_provider_kaleyra.api.client import KaleyraClient
from airflow_provider_kaleyra.api.config import ClientConfig
from airflow_provider_kaleyra.sandbox import Sandbox

# It names the URLs of the requests that it answers itself.
logging.getLogger("requests_mock").setLevel(logging.WARNING)


@pytest.fixture(autouse=True)
def _retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.001)


@pytest.fixture
def connect(sandbox: Sandbox) -> Callable[..., KaleyraClient]:
    """Make a client of the sandbox with extras of its own."""

    def make(**extra: object) -> KaleyraClient:
        return KaleyraClient(
            ClientConfig.parse(
                login=sandbox.sid,
                password=sandbox.api_key,
                host=sandbox.url,
                extra={"rcs_host": sandbox.url, **extra},
            )
        )

    return make


@pytest.fixture
def client(connect: Callable[..., KaleyraClient]) -> KaleyraClient:
    return connect()


def most_in_a_second(moments: Iterable[float]) -> int:
    """Give the most of these moments that lie in any one second."""
    ordered = sorted(moments)
    return max(bisect_left(ordered, first + 1) - index for index, first in enumerate(ordered))
