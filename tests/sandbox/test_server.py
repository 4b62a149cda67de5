"""The server's life: start, stop, a closed port, and the command."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from airflow_provider_kaleyra.sandbox import Sandbox
from airflow_provider_kaleyra.sandbox.__main__ import main


def test_missing_extra_is_named(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "airflow_provider_kaleyra.sandbox.server")
    monkeypatch.setitem(sys.modules, "aiohttp", None)

    assert main([]) == 1

    assert (
        capsys.readouterr().err
        == "aiohttp is missing: install the extra sandbox of airflow-provider-kaleyra\n"
    )


def test_port_0_takes_a_free_port(connect, assigned):
    with Sandbox() as one, Sandbox() as other:
        assert one.port != other.port
        assert connect(other).single(assigned[0]).status_code == 200
        assert one.account.requests == []


def test_after_the_end_nobody_listens_and_no_thread_is_left():
    before = threading.active_count()
    with Sandbox() as sandbox:
        port = sandbox.port
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_the_account_outlives_the_server(connect, assigned):
    with Sandbox() as sandbox:
        connect(sandbox).single(assigned[0])
    assert sandbox.account.purchases["rcs"] == {assigned[0]: 1}


def test_it_ends_at_once_though_an_answer_hangs(connect, assigned):
    with ThreadPoolExecutor() as pool:
        with Sandbox() as sandbox:
            sandbox.fault("hang")
            lost = pool.submit(connect(sandbox).single, assigned[0])
            while not sandbox.account.requests:
                time.sleep(0.001)
            began = time.monotonic()
        assert time.monotonic() - began < 2
        with pytest.raises(requests.ConnectionError):
            lost.result(timeout=5)


def test_a_port_in_use_is_an_error_at_the_start():
    with Sandbox() as sandbox, pytest.raises(OSError, match="in use"):
        Sandbox(port=sandbox.port).start()


def test_it_starts_only_once():
    with Sandbox() as sandbox, pytest.raises(RuntimeError, match="runs already"):
        sandbox.start()


def test_stopping_twice_does_nothing():
    sandbox = Sandbox().start()
    sandbox.stop()
    sandbox.stop()


def test_while_refusing_a_connection_is_refused_even_from_a_pool(connect, assigned):
    with Sandbox() as sandbox:
        client = connect(sandbox)
        client.single(assigned[0])
        with sandbox.refusing(), pytest.raises(requests.ConnectionError, match="refused"):
            client.single(assigned[0])
        assert client.single(assigned[0]).status_code == 200
        assert sandbox.account.purchases["rcs"] == {assigned[0]: 2}


def test_many_requests_wait_side_by_side(connect, assigned):
    with Sandbox(latency_ms=300) as sandbox, ThreadPoolExecutor(20) as pool:
        clients = [connect(sandbox) for _ in range(20)]
        began = time.monotonic()
        assert all(pool.map(lambda client: client.single(assigned[0]).ok, clients))
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "options", [{"latency_ms": -1}, {"requests_per_second": 0}, {"bulk_shape": "heap"}], ids=str
)
def test_a_bad_setting_is_refused_by_name(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Sandbox(**options)


def test_settings_change_while_it_runs(connect, assigned):
    with Sandbox() as sandbox:
        sandbox.settings.rcs_enabled = False
        assert connect(sandbox).single(assigned[0]).json()["code"] == "RCS601"


def test_importing_the_package_does_not_load_the_server():
    code = (
        "import sys, airflow_provider_kaleyra, airflow_provider_kaleyra.sandbox as s; s.subscriber; s.Fault;"
        "assert not {'aiohttp', 'airflow'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_sandbox_does_not_load_airflow():
    code = (
        "import sys; from airflow_provider_kaleyra.sandbox import Sandbox;"
        "mine = {m.split('.')[1] for m in sys.modules if m.startswith('airflow_provider_kaleyra.')};"
        "assert mine == {'sandbox'}, mine; assert 'airflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@contextmanager
def command(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and what it printed until it was ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_kaleyra.sandbox", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")},
    )
    try:
        assert select.select([process.stdout], [], [], 10)[0], "prints nothing"
        lines = [process.stdout.readline()]
        while lines[-1] and "Ctrl-C" not in lines[-1]:
            lines.append(process.stdout.readline())
        yield process, "".join(lines)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_a_signal_and_ends_cleanly(assigned, ending):
    with command("--port", "0", "--sid", "HX1IN", "--api-key", "A/key") as (process, banner):
        url = re.search(r"http://127\.0\.0\.1:\d+", banner).group()
        headers = {"api-key": "A/key", "Accept": "application/json"}
        response = requests.get(f"{url}/v1/HX1IN/rcs/lookup/{assigned[0]}", headers=headers, timeout=5)
        assert response.status_code == 200
        process.send_signal(ending)
        _, errors = process.communicate(timeout=5)
        assert (process.returncode, errors) == (0, "")


def test_the_command_tells_how_to_connect():
    with command("--port", "0", "--sid", "HX1IN", "--api-key", "A/key") as (_, banner):
        port = re.search(r"http://127\.0\.0\.1:(\d+)", banner).group(1)
        assert "SID HX1IN   API key A/key" in banner
        assert f"kaleyra://HX1IN:A%2Fkey@127.0.0.1:{port}/http" in banner
        assert f"rcs_host=http%3A%2F%2F127.0.0.1%3A{port}'" in banner
        assert f"curl http://127.0.0.1:{port}/sandbox/purchases" in banner


def test_the_command_keeps_its_rate_and_latency(assigned):
    arguments = ("--port", "0", "--requests-per-second", "1", "--latency-ms", "100")
    with command(*arguments) as (_, banner):
        url = re.search(r"http://127\.0\.0\.1:\d+", banner).group()
        headers = {"api-key": "Asandbox0key", "Accept": "application/json"}
        path = f"{url}/v1/HXSANDBOX01IN/rcs/lookup/{assigned[0]}"
        responses = [requests.get(path, headers=headers, timeout=5) for _ in range(2)]
        assert [response.status_code for response in responses] == [200, 429]
        assert all(response.elapsed.total_seconds() >= 0.1 for response in responses)


def test_the_command_names_a_port_in_use(capsys, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with Sandbox() as sandbox:
        assert main(["--port", str(sandbox.port)]) == 1
        assert f"cannot listen at 127.0.0.1:{sandbox.port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--latency-ms", "-1"], ["--requests-per-second", "0"], ["--port", "x"]]
)
def test_the_command_refuses_a_bad_option(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert arguments[0] in capsys.readouterr().err
