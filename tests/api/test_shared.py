"""A ceiling that several processes keep together."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from airflow_provider_kaleyra.api.client import KaleyraClient
from airflow_provider_kaleyra.api.shared import SharedLimit
from airflow_provider_kaleyra.errors import ConfigurationError, NothingSentError
from airflow_provider_kaleyra.sandbox import Sandbox
from tests.api.conftest import most_in_a_second
from tests.support.numbers import numbers

CEILING = 30
EACH = 20
PASSWORD = "pa55w0rd"
Connect = Callable[..., KaleyraClient]


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis server of its own, behind a password."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: the shared limit in Redis was not run")
    socket = tmp_path / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--requirepass", PASSWORD]
    server = subprocess.Popen([*command, "--save", "", "--dir", str(tmp_path)], stdout=subprocess.DEVNULL)
    url = f"unix://:{PASSWORD}@{socket}"
    while not _answers(url):
        assert server.poll() is None
        time.sleep(0.01)
    yield url
    server.terminate()
    server.wait()


def _answers(url: str) -> bool:
    try:
        return bool(redis.Redis.from_url(url).ping())
    except redis.ConnectionError:
        return False


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def shared_limit(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where several processes can count their requests together."""
    if request.param == "sqlite":
        return str(tmp_path / "limit.db")
    fixture = {"redis": "redis_url", "postgres": "_postgres_server"}[request.param]
    return str(request.getfixturevalue(fixture))


def send_from_processes(sandbox: Sandbox, count: int, **extra: object) -> list[float]:
    """Let processes ask about numbers of their own at the same time; give when their requests arrived."""
    asked = numbers(count * EACH)
    connection = {
        "login": sandbox.sid,
        "password": sandbox.api_key,
        "host": sandbox.url,
        "extra": {"requests_per_second": CEILING, **extra},
    }
    command = [sys.executable, "-m", "tests.api.sharing", json.dumps(connection)]
    processes = [
        subprocess.Popen(
            [*command, ",".join(asked[number::count])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    found = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        found.append(int(process.communicate(timeout=60)[0]))
    assert found == [EACH] * count
    return [request.at for request in sandbox.account.requests]


def test_processes_keep_a_shared_limit_together(sandbox: Sandbox, shared_limit: str) -> None:
    arrivals = send_from_processes(sandbox, 3, shared_limit=shared_limit)

    assert len(arrivals) == 3 * EACH
    # On a busy machine one request is longer on its way than another.
    assert most_in_a_second(arrivals) <= CEILING * 1.2


def test_without_a_shared_limit_each_process_has_the_ceiling_to_itself(sandbox: Sandbox) -> None:
    assert most_in_a_second(send_from_processes(sandbox, 3)) > CEILING * 1.3


def test_a_shared_limit_is_used_evenly_over_a_second(shared_limit: str) -> None:
    limit = SharedLimit(shared_limit, uuid4().hex, CEILING)

    assert limit.most <= CEILING / 10
    assert limit.take(limit.most) == 0
    assert 0 < limit.take(1) < 0.1


def test_accounts_have_limits_of_their_own(shared_limit: str) -> None:
    one, another = uuid4().hex, uuid4().hex

    assert [SharedLimit(shared_limit, account, 1).take(1) == 0 for account in (one, one, another)] == [
        True,
        False,
        True,
    ]


def test_a_burst_may_be_shared_too(shared_limit: str) -> None:
    limit = SharedLimit(shared_limit, uuid4().hex, CEILING, burst=CEILING)

    assert limit.take(CEILING) == 0
    assert limit.take(1) > 0.1


def test_a_shared_limit_without_its_packages_names_what_to_install(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyrate_limiter", None)

    with pytest.raises(ConfigurationError, match=r"shared_limit.*airflow-provider-kaleyra\[shared-limit\]"):
        connect(requests_per_second=5, shared_limit=str(tmp_path / "limit.db"))


@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
def test_a_shared_limit_out_of_reach_is_told_without_its_password(
    connect: Connect, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_kaleyra.api.shared.REACH_WITHIN", 0.5)
    with pytest.raises(NothingSentError, match="shared limit") as caught:
        connect(requests_per_second=5, shared_limit=f"{scheme}://me:{PASSWORD}@127.0.0.1:9/0")
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_nothing_is_sent_while_nobody_counts(connect: Connect, sandbox: Sandbox, redis_url: str) -> None:
    client = connect(requests_per_second=1000, shared_limit=redis_url)
    with redis.Redis.from_url(redis_url) as server:
        assert client.lookup_device(numbers(1)[0]).status == "ok"
        server.shutdown(nosave=True)
    with pytest.raises(NothingSentError, match="shared limit"):
        client.lookup_device(numbers(2)[1])

    assert len(sandbox.account.requests) == 1
