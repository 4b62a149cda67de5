"""The README's first command, as a person runs it: twice in one folder."""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from rich.console import Console

from airflow_provider_kaleyra.demo import __main__ as command
from airflow_provider_kaleyra.demo.findings import Findings, find
from airflow_provider_kaleyra.demo.folder import CONTACTS, PACKAGE, Folder
from airflow_provider_kaleyra.demo.progress import Progress
from airflow_provider_kaleyra.demo.report import look, show
from airflow_provider_kaleyra.phone import InvalidNumber, PhoneNumber, read
from airflow_provider_kaleyra.sandbox import Account, Request, subscriber

CSV = list(
    csv.DictReader((PACKAGE / "demo" / "contacts.csv").read_text(encoding="utf-8").splitlines(keepends=True))
)
READ = {row["phone"]: read(row["phone"]) for row in CSV}
NUMBERS = {number.e164 for number in READ.values() if isinstance(number, PhoneNumber)}
THERE = {number for number in NUMBERS if subscriber(number).assigned}


class Demo(NamedTuple):
    folder: Path
    user: Path
    first: subprocess.CompletedProcess[str]
    second: subprocess.CompletedProcess[str]
    seconds: float

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self.first.stdout)

    def rows(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "contacts.db")) as database:
            return database.execute(sql).fetchall()


def environment(user: Path) -> dict[str, str]:
    """The environment of a person with an Airflow of their own, which nobody may touch."""
    return {
        **os.environ,
        "HOME": str(user),
        "AIRFLOW_HOME": str(user / "airflow"),
        "AIRFLOW_CONFIG": str(user / "airflow.cfg"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{user}/theirs.db",
        "AIRFLOW_CONN_KALEYRA_DEFAULT": "kaleyra://theirs:theirs@api.kaleyra.io",
        "COLUMNS": "100",
    }


def demo(folder: Path, user: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "airflow_provider_kaleyra.demo", "--folder", str(folder), *arguments]
    return subprocess.run(
        line, env=environment(user), capture_output=True, text=True, encoding="utf-8", timeout=120
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder, user = tmp_path_factory.mktemp("a demo") / "folder", tmp_path_factory.mktemp("user")
    started = time.monotonic()
    first = demo(folder, user, "--json")
    second = demo(folder, user)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stdout + second.stderr
    return Demo(folder, user, first, second, time.monotonic() - started)


def test_first_run_buys_each_number_once(ran: Demo) -> None:
    report = ran.report
    assert report["contacts"] == len(CSV) == 1000
    assert report["texts"] == len(READ)
    for task in ("rcs", "numbers"):
        assert report["summaries"][task]["inputs"] == len(CSV)
        assert report["summaries"][task]["asked"] == report["summaries"][task]["distinct"] == len(NUMBERS)
    assert report["bought"] == {"rcs": len(THERE), "number": len(THERE)}
    assert report["most_often_bought"] == 1
    price = report["summaries"]["numbers"]["price"]
    assert Decimal(report["charged"]) == Decimal(report["spent_ever"]) == Decimal(price) > 0


def test_second_run_buys_nothing_and_says_so(ran: Demo) -> None:
    valid = sum(isinstance(READ[row["phone"]], PhoneNumber) for row in CSV)
    assert f"Nothing was bought: 0 asked, {valid} reused, cost 0." in ran.second.stdout
    for ledger in ("kaleyra_rcs_ledger", "kaleyra_number_ledger"):
        bought = dict(ran.rows(f"SELECT phone_number, purchases FROM {ledger}"))
        assert bought.keys() == NUMBERS
        assert {number for number, purchases in bought.items() if purchases} == THERE
        assert sum(bought.values()) == len(THERE)


def test_every_text_has_one_row_in_each_result_table(ran: Demo) -> None:
    for table in ("contacts_rcs", "contacts_numbers"):
        rows = ran.rows(f"SELECT raw_number, phone_number, status, reason FROM {table}")
        assert Counter(row[0] for row in rows) == Counter(READ.keys())
        for raw, phone_number, status, reason in rows:
            meant = READ[raw]
            if isinstance(meant, InvalidNumber):
                assert (phone_number, status, reason) == (None, "invalid", meant.reason)
            else:
                there = meant.e164 in THERE
                assert (phone_number, status) == (meant.e164, "ok" if there else "invalid")


def test_contacts_have_their_own_columns_filled_and_the_others_as_they_were(ran: Demo) -> None:
    names = ", ".join(CSV[0])
    own = "phone_e164, phone_problem, rcs_enabled, rcs_checked_at, carrier, carrier_country, ported"
    rows = ran.rows(f"SELECT {names}, {own} FROM contacts ORDER BY id")
    assert [[str(cell) for cell in row[: len(CSV[0])]] for row in rows] == [list(row.values()) for row in CSV]
    for row in rows:
        meant, (e164, problem, rcs, checked_at, carrier, country, ported) = READ[row[6]], row[len(CSV[0]) :]
        if isinstance(meant, InvalidNumber):
            assert (e164, problem, rcs, carrier, ported) == (None, meant.reason, None, None, None)
        elif meant.e164 in THERE:
            person = subscriber(meant.e164)
            assert (e164, problem, rcs) == (meant.e164, None, person.rcs_enabled)
            assert (carrier, country, ported) == (person.current.name, person.country, person.is_ported)
            assert checked_at
        else:
            assert (e164, problem, rcs, carrier) == (meant.e164, "refused_by_service", None, None)


def test_join_has_a_row_for_each_contact(ran: Demo) -> None:
    assert ran.rows("SELECT count(*), count(status), count(DISTINCT id) FROM contacts_enriched") == [
        (1000, 1000, 1000)
    ]


def test_report_says_what_came(ran: Demo) -> None:
    said = ran.second.stdout
    assert f"{len(READ)} different texts for a phone, {len(NUMBERS)} distinct numbers." in said
    reached = sum(subscriber(number).rcs_enabled is True for number in THERE)
    ported = sum(subscriber(number).is_ported for number in THERE)
    assert re.search(rf"Reached by RCS +yes {reached} \(\d+%\), no \d+, unknown \d+ of {len(THERE)}", said)
    assert re.search(rf"Ported +yes {ported} ", said)
    reasons = Counter(getattr(READ[row["phone"]], "reason", "") for row in CSV)
    del reasons[""]
    for reason, count in reasons.items():
        assert re.search(rf"^ *{count} +{reason} +[A-Z]", said, re.MULTILINE), reason
    for row in CSV[:10]:
        assert f"{row['first_name']} {row['last_name']}" in said
    assert str(ran.folder / "contacts.db") in said
    assert str(ran.folder / "demo.log") in said


def test_no_line_of_the_report_ends_in_a_blank(ran: Demo) -> None:
    assert [line for line in ran.second.stdout.splitlines() if line != line.rstrip()] == []


def test_reason_of_a_contact_without_a_number_stands_under_a_heading_of_its_own(ran: Demo) -> None:
    lines = ran.second.stdout.splitlines()
    (heading,) = (line for line in lines if line.startswith("Ten contacts"))
    row = next(row for row in CSV[:10] if isinstance(READ[row["phone"]], InvalidNumber))
    (line,) = (line for line in lines if line.startswith(f"{row['first_name']} {row['last_name']}"))
    assert line.index(READ[row["phone"]].reason) == heading.index("carrier, or reason")


@pytest.mark.parametrize(
    ("asked", "told"),
    [(["+1"], "1 number asked in 1 request"), (["+1", "+2"], "2 numbers asked in 2 requests")],
    ids=["one", "two"],
)
def test_one_number_and_one_request_are_told_as_one(tmp_path: Path, asked: list[str], told: str) -> None:
    account, said = Account(), io.StringIO()
    progress = Progress(Console(file=said), account, tmp_path / "airflow.db")
    for number in asked:
        account.record(Request("rcs", "single", (number,), 200, 0, purchased=True), [number], Decimal(0))
    with sqlite3.connect(tmp_path / "airflow.db") as database:
        database.executescript("""
            CREATE TABLE dag_run AS SELECT 1 AS id, 'run' AS run_id;
            CREATE TABLE task_instance AS
            SELECT 'rcs' AS task_id, 'success' AS state, 'run' AS run_id, 1 AS end_date;
        """)

    progress.update()

    assert f"RCS capability: {told}\n" in said.getvalue()


def test_no_number_is_said_or_logged(ran: Demo) -> None:
    said = [ran.first.stdout, ran.first.stderr, ran.second.stdout, ran.second.stderr]
    logs = [path for path in ran.folder.rglob("*") if path.is_file() and path.name != "contacts.db"]
    assert ran.folder / "demo.log" in logs
    # Airflow's metadata database too: XComs, rendered templates.
    assert ran.folder / "airflow" / "airflow.db" in logs
    said += [path.read_bytes().decode("latin-1") for path in logs]
    numbers = [number[1:] for number in NUMBERS]
    texts = [raw for raw, meant in READ.items() if isinstance(meant, PhoneNumber) and len(raw) > 8]
    for text in said:
        assert [secret for secret in (*numbers, *texts) if secret in text] == []


def test_nothing_of_the_users_own_is_touched(ran: Demo) -> None:
    assert list(ran.user.iterdir()) == []


def test_line_to_look_at_the_database_works(ran: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    line = next(line for line in ran.second.stdout.splitlines() if "contacts_enriched LIMIT" in line)
    monkeypatch.setattr("shutil.which", lambda name: None)
    for shown in (line, look(str(ran.folder / "contacts.db")), look(f"{ran.folder}/../folder/contacts.db")):
        looked = subprocess.run(shown, shell=True, capture_output=True, text=True)
        assert looked.returncode == 0, looked.stderr
        assert READ[CSV[0]["phone"]].e164 in looked.stdout


@pytest.mark.parametrize("columns", [80, 100])
def test_report_of_a_first_run_fits(ran: Demo, columns: int) -> None:
    findings = find(Folder(ran.folder), Account())
    findings = dataclasses.replace(findings, summaries=ran.report["summaries"], log=Path("demo.log"))
    said = report(dataclasses.replace(findings, database=Path("demo.db")), columns)
    assert "Nothing was bought" not in said
    assert re.search(rf"RCS capability +{len(NUMBERS)} +\d+ +not told +0 +\d+", said)
    assert re.search(rf"Number lookup +{len(NUMBERS)} +9 +[0-9.]+ +0 +\d+", said)
    long = [line for line in said.splitlines() if len(line) > columns and "sqlite3" not in line]
    assert long == []
    assert [number for number in NUMBERS if number[1:] in said] == []


def report(findings: Findings, columns: int) -> str:
    file = io.StringIO()
    show(findings, Console(file=file, width=columns, highlight=False))
    return file.getvalue()


def test_failure_names_the_log(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "demo")
    folder.airflow_home.mkdir(parents=True)
    (folder.root / ".kaleyra-demo").touch()
    (folder.airflow_home / "airflow.db").write_text("no database at all, " * 100)
    failed = demo(folder.root, tmp_path / "user")
    assert failed.returncode == 1
    assert "Airflow could not run the DAG" in failed.stdout
    assert "file is not a database" in failed.stdout
    assert str(folder.log) in failed.stdout
    assert "file is not a database" in folder.log.read_text()


def test_interrupted_run_ends_its_airflow(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    line = [sys.executable, "-m", "airflow_provider_kaleyra.demo", "--folder", str(folder)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment(tmp_path)) as process:
        while not (airflow := psutil.Process(process.pid).children()):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted" in said
    assert not any(child.is_running() for child in airflow)


def test_an_interruption_while_airflow_starts_ends_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    status = command.main(["--folder", str(tmp_path / "demo")])
    (airflow,) = started
    alive = airflow.poll() is None
    airflow.kill()

    assert (status, alive) == (130, False)


def test_folder_of_somebody_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").touch()
    assert command.main(["--folder", str(tmp_path), "--fresh"]) == 1
    assert "holds files that are not the demo's" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_runs_do_not_share_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / ".kaleyra-demo").open("w") as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)
        assert command.main(["--folder", str(tmp_path)]) == 1
    assert "Another run is at work" in capsys.readouterr().err


def test_fresh_starts_over_and_keeps_what_is_not_the_demos(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with folder.taken():
        assert folder.prepare(fresh=False) == len(CSV)
        assert folder.prepare(fresh=False) == 0
        (tmp_path / "notes.txt").touch()
        assert folder.prepare(fresh=True) == len(CSV)
    assert (tmp_path / "notes.txt").exists()


def test_contacts_left_half_loaded_are_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path)
    with folder.taken():
        monkeypatch.setattr("airflow_provider_kaleyra.demo.folder.CONTACTS", f"{CONTACTS} nonsense")
        with pytest.raises(sqlite3.Error):
            folder.prepare(fresh=False)
        monkeypatch.undo()
        assert folder.prepare(fresh=False) == len(CSV)


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "NEEDED", ("rich", "no-such-package"))
    assert command.main([]) == 1
    assert capsys.readouterr().err == (
        "Missing: no-such-package. Install the extra demo of airflow-provider-kaleyra\n"
    )
