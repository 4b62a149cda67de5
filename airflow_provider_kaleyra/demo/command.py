"""The demo from start to end: folder, sandbox, Airflow in a process of its own, report."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from airflow_provider_kaleyra.demo.findings import find
from airflow_provider_kaleyra.demo.folder import Folder, FolderError
from airflow_provider_kaleyra.demo.progress import Progress
from airflow_provider_kaleyra.demo.report import show
from airflow_provider_kaleyra.phone import mask_text
from airflow_provider_kaleyra.sandbox import Sandbox

LATENCY_MS = 50
INTERRUPTED = 130


def run(root: Path, *, fresh: bool, as_json: bool) -> int:
    """Run the demo in a folder; gives the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    # With --json nothing but JSON is on the standard output.
    console = Console(stderr=as_json, highlight=False)
    folder = Folder(root.expanduser().resolve())
    try:
        with folder.taken(), Sandbox(latency_ms=LATENCY_MS) as sandbox:
            done = _run_dag(folder, sandbox, console, fresh=fresh)
            if not done:
                _explain_failure(folder, console)
                return 1
            findings = find(folder, sandbox.account)
    except (FolderError, OSError) as error:
        complaint = f"kaleyra-demo: {error}"
        Console(stderr=True).print(complaint, style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print(
            "\nInterrupted. What was bought is filed; the next run asks for the rest.", soft_wrap=True
        )
        return INTERRUPTED
    if as_json:
        print(json.dumps(findings.as_dict(), indent=2))
    else:
        show(findings, console)
    return 0


def _run_dag(folder: Folder, sandbox: Sandbox, console: Console, *, fresh: bool) -> bool:
    console.print("[bold]Kaleyra demo[/]: made-up contacts, a stand-in for Kaleyra. Free, calls nobody.\n")
    loaded = folder.prepare(fresh=fresh)
    progress = Progress(console, sandbox.account, folder.airflow_home / "airflow.db")
    progress.contacts.detail = (
        f"{loaded:,} loaded into {folder.database.name}"
        if loaded
        else f"{folder.database.name} is as the last run left it"
    )
    progress.contacts.end()
    with progress.showing(), _airflow(folder, sandbox) as airflow:
        progress.airflow.start()
        while airflow.poll() is None:
            progress.update()
            time.sleep(0.1)
        progress.update()
    return airflow.returncode == 0


@contextmanager
def _airflow(folder: Folder, sandbox: Sandbox) -> Iterator[subprocess.Popen[bytes]]:
    """Run the DAG in a process with an environment of its own; what it says goes into the log."""
    module = "airflow_provider_kaleyra.demo.airflow_run"
    held: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _: held.append(number)) for number in signals}
    try:
        with folder.log.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", module, str(folder.dag), str(folder.report)],
                env=folder.environment(sandbox.airflow_uri),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches this process alone, and it passes on exactly one.
                start_new_session=True,
            )
        try:
            # Not before there is a process to end.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            signal.signal(signal.SIGINT, before[signal.SIGINT])
            if held:
                raise KeyboardInterrupt
            yield process
        finally:
            _end(process)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that has not ended, and let it file what it has bought."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _explain_failure(folder: Folder, console: Console) -> None:
    tasks: dict[str, Any] = {}
    if folder.report.exists():
        tasks = json.loads(folder.report.read_text(encoding="utf-8"))["tasks"]
    failed = [name for name, task in tasks.items() if task["state"] == "failed"]
    what = f"The task {failed[0]} failed" if failed else "Airflow could not run the DAG"
    console.print(f"\n[bold red]{what}.[/]")
    if cause := _cause(folder.log.read_text(encoding="utf-8", errors="replace")):
        console.print(mask_text(cause), markup=False, soft_wrap=True)
    console.print(f"All that Airflow said: {folder.log}", markup=False, soft_wrap=True)
    console.print("To start over, add --fresh.")


def _cause(log: str) -> str:
    """Give the log's last line that names an exception."""
    named = re.findall(r"^((?:[A-Za-z_]\w*\.)*\w*(?:Error|Exception)\b: .*)$", log, flags=re.MULTILINE)
    return str(named[-1]) if named else ""
