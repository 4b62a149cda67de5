"""`kaleyra-ledger erase` and `kaleyra-ledger totals`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import inspect

from airflow_provider_kaleyra.cli import main
from airflow_provider_kaleyra.enrichment import erase
from airflow_provider_kaleyra.enrichment.kinds import NUMBER
from airflow_provider_kaleyra.enrichment.memory import Run, Settled
from airflow_provider_kaleyra.enrichment.plan import Input
from airflow_provider_kaleyra.enrichment.rescue import Rescue
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.phone import mask
from airflow_provider_kaleyra.sandbox import Sandbox
from tests.support.airflow_runs import run, run_task
from tests.support.databases import Database
from tests.support.numbers import numbers, spelled

ONE, TWO, THREE = numbers(3)
BRITISH, NATIONAL = "+442071838750", "020 7183 8750"
LEDGERS = ("kaleyra_rcs_ledger", "kaleyra_number_ledger")
FROM_CONTACTS: dict[str, Any] = {
    "sql_conn_id": "warehouse",
    "source_table": "contacts",
    "number_column": "phone",
    "result_table": "filed",
}


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `kaleyra-ledger`; give what it says."""

    def call(*arguments: str, lines: str = "", status: int = 0) -> str:
        capsys.readouterr()
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        assert main(arguments) == status
        said = capsys.readouterr()
        return said.err if status else said.out

    return call


Command = Callable[..., str]
ERASE = ("erase", "--conn-id", "warehouse")
FILED = (*ERASE, "--table", "filed")


def held(database: Database, table: str) -> set[str]:
    """Give the first column of a table: its key."""
    return {next(iter(row.values())) for row in database.rows(f"SELECT * FROM {table}")}


def enrich(database: Database, *phones: object, **parameters: Any) -> None:
    database.contacts(phones)
    run_task(NumberLookupOperator, **FROM_CONTACTS, **parameters)


def test_a_number_is_erased_in_every_spelling_from_both_ledgers_and_each_table(
    sandbox: Sandbox, database: Database, command: Command
) -> None:
    enrich(database, ONE, spelled(ONE), TWO, "n/a")
    run_task(RcsCapabilityOperator, **{**FROM_CONTACTS, "result_table": "filed_rcs"})

    told = command(*FILED, "--table", "filed_rcs", lines=f"{ONE}\n\n{BRITISH}\n")

    for table in ("filed", "filed_rcs"):
        assert held(database, table) == {TWO, "n/a"}
    for ledger in LEDGERS:
        assert held(database, ledger) == {TWO}
    assert told.splitlines()[:-1] == [
        "Erased 6 rows.",
        "  kaleyra_rcs_ledger: 1",
        "  kaleyra_number_ledger: 1",
        "  filed: 2",
        "  filed_rcs: 2",
        "Of them",
        f"  {mask(ONE)}: 6",
        f"  {mask(BRITISH)}: 0",
    ]


def test_what_is_erased_and_still_in_the_source_is_bought_again(
    sandbox: Sandbox, sqlite_database: Database, command: Command
) -> None:
    enrich(sqlite_database, ONE)

    assert "pays again" in command(*FILED, lines=spelled(ONE))

    run_task(NumberLookupOperator, **FROM_CONTACTS)
    assert sandbox.account.purchases["number"] == {ONE: 2}


def test_numbers_are_read_from_a_file(
    sandbox: Sandbox, sqlite_database: Database, command: Command, tmp_path: Path
) -> None:
    enrich(sqlite_database, ONE, TWO)
    (tmp_path / "people.txt").write_text(f"{ONE}\r\n{TWO}\r\n")

    command(*FILED, "--file", str(tmp_path / "people.txt"))

    assert held(sqlite_database, "filed") == set()


def test_a_table_is_searched_page_by_page(
    sandbox: Sandbox, database: Database, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erase, "PAGE", 3)
    phones = numbers(12)
    enrich(database, *phones)

    command(*FILED, lines="\n".join(phones[::2]))

    assert held(database, "filed") == held(database, LEDGERS[1]) == set(phones[1::2])


@pytest.mark.parametrize("how", [[], ["--default-region", "GB"]], ids=["as it is", "as of a country"])
def test_a_text_that_was_filed_as_no_number_is_erased_if_it_reads_as_one(
    sandbox: Sandbox, database: Database, command: Command, how: list[str]
) -> None:
    enrich(database, NATIONAL, "020 7183 8751")

    told = command(*FILED, *how, lines=BRITISH)

    assert held(database, "filed") == ({"020 7183 8751"} if how else {NATIONAL, "020 7183 8751"})
    assert f"{mask(BRITISH)}: {1 if how else 0}" in told


def test_digits_that_were_filed_as_a_strangers_number_are_erased_too(
    sandbox: Sandbox, database: Database, command: Command
) -> None:
    # A number of Egypt's, if a plus is put in front.
    enrich(database, ONE.removeprefix("+1"), assume_country_code=True)
    strangers = ONE.replace("+1", "+")
    assert held(database, LEDGERS[1]) == {strangers}

    command(*FILED, "--default-region", "US", lines=ONE)

    assert held(database, "filed") == set()
    assert held(database, LEDGERS[1]) == {strangers}


def test_texts_are_erased_exactly_as_they_are(sandbox: Sandbox, database: Database, command: Command) -> None:
    enrich(database, f" {ONE}", ONE, f"{ONE} / {TWO}", "n/a")

    told = command(*FILED, "--raw", lines=f" {ONE}\n{ONE} / {TWO}\nN/A")

    assert held(database, "filed") == {ONE, "n/a"}
    assert held(database, LEDGERS[1]) == {ONE}
    assert "line 1: 1\n  line 2: 1\n  line 3: 0\n" in told
    assert "1 of the rows stood for a number, which may have other rows" in told


def test_a_line_that_is_no_number_stops_it_before_anything_is_erased(
    sandbox: Sandbox, sqlite_database: Database, command: Command
) -> None:
    enrich(sqlite_database, ONE)

    told = command(*FILED, lines=f"{ONE}\n{NATIONAL}\n", status=1)

    assert "line 2 is no phone number (no_country_code)" in told
    assert "Nothing was erased" in told
    assert "--default-region" in told
    assert held(sqlite_database, "filed") == held(sqlite_database, LEDGERS[1]) == {ONE}


def on_its_way(database: Database, status: str, ago: timedelta = timedelta(0)) -> None:
    then = datetime.now(UTC) - ago
    database.execute(
        f"UPDATE {LEDGERS[1]} SET status = :status, asked_at = :then WHERE phone_number = :one",
        {
            "status": status,
            "then": then if database.name == "postgres" else then.replace(tzinfo=None),
            "one": ONE,
        },
    )


@pytest.mark.parametrize("status", ["pending", "requested"])
def test_a_number_on_its_way_stops_it_unless_it_is_forced(
    sandbox: Sandbox, database: Database, command: Command, status: str
) -> None:
    enrich(database, ONE, TWO)
    on_its_way(database, status)

    told = command(*FILED, lines=f"{ONE}\n{TWO}", status=1)

    assert f"{mask(ONE)}: on its way" in told
    assert held(database, "filed") == held(database, LEDGERS[1]) == {ONE, TWO}
    command(*FILED, "--force", lines=f"{ONE}\n{TWO}")
    assert held(database, "filed") == held(database, LEDGERS[1]) == set()


def test_a_dead_claim_stops_nothing(sandbox: Sandbox, database: Database, command: Command) -> None:
    enrich(database, ONE)
    on_its_way(database, "requested", timedelta(minutes=61))

    command(*FILED, lines=ONE)

    assert held(database, LEDGERS[1]) == set()


def test_answers_that_are_not_filed_yet_stop_it_unless_it_is_forced(
    sandbox: Sandbox, sqlite_database: Database, command: Command, tmp_path: Path
) -> None:
    enrich(sqlite_database, ONE, TWO)
    outcome = {"phone_number": ONE, "status": "ok", "asked_at": None, "run_id": "dag/task/run"}
    rescue = Rescue(NUMBER, Run("dag/task/run"), "warehouse", "filed", tmp_path / "home" / "kaleyra")
    rescue.keep([Settled(outcome, *[1] * 3)], [[Input(0, spelled(ONE))]])  # type: ignore[list-item]

    told = command(*FILED, lines=ONE, status=1)

    assert f"First run: kaleyra-ledger file {rescue.path}" in told
    assert held(sqlite_database, "filed") == {ONE, TWO}
    assert "are not filed yet" in command(*FILED, "--raw", lines=spelled(ONE), status=1)
    command(*FILED, lines=TWO)
    command(*FILED, "--force", lines=ONE)
    assert held(sqlite_database, "filed") == set()


@pytest.mark.parametrize("whose", ["another run's", "the run's own earlier try's"])
def test_of_kept_answers_about_numbers_asked_about_again_since_only_the_price_is_filed(
    sandbox: Sandbox, database: Database, command: Command, tmp_path: Path, whose: str
) -> None:
    enrich(database, ONE)
    (before,) = database.rows("SELECT * FROM filed")
    run_id = before["run_id"] if whose != "another run's" else "dag/task/run"
    then = datetime.now(UTC) - timedelta(hours=2)
    outcome = {
        **dict.fromkeys(NUMBER.result_columns[1:]),
        "phone_number": ONE,
        "status": "ok",
        "run_id": run_id,
        "asked_at": then,
        "answered_at": then,
        "current_operator": "of yore",
    }
    rescue = Rescue(NUMBER, Run(run_id), "warehouse", "filed", tmp_path / "home" / "kaleyra")
    paid = Decimal("0.003")
    rescue.keep([Settled(outcome, paid, 1, paid)], [[Input(0, ONE)]])

    assert "about 0 numbers" in command("file", str(rescue.path))

    assert database.rows("SELECT * FROM filed") == [before]
    (row,) = database.rows(f"SELECT * FROM {LEDGERS[1]}")
    assert (row["current_operator"], row["asked_at"]) == (before["current_operator"], before["asked_at"])
    assert Decimal(str(row["spent"])) == Decimal("0.008")


def test_a_kept_answer_is_filed_for_every_spelling_of_its_number(
    sandbox: Sandbox, database: Database, command: Command, tmp_path: Path
) -> None:
    enrich(database, TWO)
    then = datetime.now(UTC)
    outcome = {
        **dict.fromkeys(NUMBER.result_columns[1:]),
        "phone_number": ONE,
        "status": "ok",
        "run_id": "dag/task/run",
        "asked_at": then,
        "answered_at": then,
    }
    rescue = Rescue(NUMBER, Run("dag/task/run"), "warehouse", "filed", tmp_path / "home" / "kaleyra")
    paid = Decimal("0.005")
    rescue.keep([Settled(outcome, paid, 1, paid)], [[Input(0, ONE), Input(1, spelled(ONE))]])

    assert "about 1 number," in command("file", str(rescue.path))

    assert held(database, "filed") == {ONE, spelled(ONE), TWO}
    assert held(database, LEDGERS[1]) == {ONE, TWO}


def test_all_is_erased_or_nothing(sandbox: Sandbox, sqlite_database: Database, command: Command) -> None:
    enrich(sqlite_database, ONE)
    sqlite_database.execute(
        f"CREATE TRIGGER no BEFORE DELETE ON filed BEGIN SELECT RAISE(ABORT, 'not {ONE}'); END"
    )

    told = command(*FILED, lines=ONE, status=1)

    assert "The database refused" in told
    assert mask(ONE) in told
    assert held(sqlite_database, LEDGERS[1]) == {ONE}


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (["--table", "no_such_table"], "There is no table no_such_table"),
        (["--table", "contacts"], "contacts is no result table"),
        (["--table", LEDGERS[1]], f"{LEDGERS[1]} is no result table"),
        (["--schema", "main"], "no ledger in this database in schema main, and no result table is named"),
        (["--raw"], "--raw goes with --table"),
        (["--raw", "--table", "contacts", "--assume-country-code"], "go without --raw"),
        (["--default-region", "XX"], "default_region='XX' is no ISO 3166 country code"),
        (["--file", "no_such_file"], "There is no file no_such_file: give one of numbers, one a line"),
        (["--file", "."], "There is no file .: give one of numbers, one a line"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    sandbox: Sandbox, sqlite_database: Database, command: Command, named: list[str], message: str
) -> None:
    sqlite_database.contacts([ONE])
    if LEDGERS[1] in named:
        run_task(NumberLookupOperator, numbers=[ONE], ledger_conn_id="warehouse")

    assert message in command(*ERASE, *named, lines=ONE, status=1)
    assert held(sqlite_database, "contacts") == {1}


@pytest.mark.parametrize("path", ["no_such_file", "."])
def test_a_file_of_paid_answers_that_is_none_is_refused(command: Command, path: str) -> None:
    told = command("file", path, status=1)

    assert f"There is no file {path}: give the one that the task's error has named" in told


def test_one_row_and_one_number_are_told_as_one(
    sandbox: Sandbox, sqlite_database: Database, command: Command
) -> None:
    enrich(sqlite_database, ONE)
    sqlite_database.execute(f"UPDATE {LEDGERS[1]} SET status = 'in_doubt'")

    assert "Released 1 number in" in command("release", "--conn-id", "warehouse", "--api", "number")
    assert "Erased 1 row." in command(*ERASE, lines=ONE)


def test_help_is_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "`" not in capsys.readouterr().out


def test_nothing_to_erase_is_refused(sqlite_database: Database, command: Command) -> None:
    assert "nothing to erase" in command(*FILED, lines=" \n\n", status=1)


def test_a_connection_that_there_is_not_is_told(command: Command) -> None:
    assert "no_such_connection" in command("erase", "--conn-id", "no_such_connection", lines=ONE, status=1)


@pytest.mark.parametrize("named", [["--table", "crm.filed"], ["--schema", "crm", "--table", "filed"]])
def test_tables_and_ledgers_of_a_schema_are_found(
    sandbox: Sandbox, database: Database, command: Command, named: list[str]
) -> None:
    if database.name != "postgres":
        pytest.skip("one database with schemas is enough")
    database.execute("CREATE SCHEMA crm")
    database.contacts([ONE, TWO])
    run_task(NumberLookupOperator, **{**FROM_CONTACTS, "result_table": "crm.filed"})

    command(*ERASE, *named, lines=ONE)

    assert held(database, "crm.filed") == held(database, f"crm.{LEDGERS[1]}") == {TWO}


def test_without_a_table_the_ledgers_are_erased_from_and_it_says_so(
    sandbox: Sandbox, database: Database, command: Command
) -> None:
    run_task(NumberLookupOperator, numbers=[ONE], ledger_conn_id="warehouse")

    assert "No result table was named" in command(*ERASE, lines=ONE)
    assert held(database, LEDGERS[1]) == set()


TOTALS = ("totals", "--conn-id", "warehouse", "--api", "number")


def test_totals_are_told_by_run_day_and_status(
    sandbox: Sandbox, database: Database, command: Command
) -> None:
    sandbox.fault("missing", number=THREE)
    dag_id = f"dag_{uuid4().hex[:6]}"
    database.contacts([ONE, TWO, THREE])
    parameters = {**FROM_CONTACTS, "max_failed": 1, "batch_size": 1}
    run(lambda: NumberLookupOperator(task_id="first", **parameters), dag_id)
    run_task(NumberLookupOperator, **parameters, where="id = 1", max_age=timedelta(0))
    database.execute(
        f"UPDATE {LEDGERS[1]} SET asked_at = '2026-01-31 23:59:59.000000' WHERE phone_number = :two",
        {"two": TWO},
    )

    told = json.loads(command(*TOTALS, "--json"))

    assert told["ledger"] == LEDGERS[1]
    assert told["status"] == [
        {"status": "failed", "numbers": 1, "purchases": 1, "spent": "0.005"},
        {"status": "ok", "numbers": 2, "purchases": 3, "spent": "0.015"},
    ]
    assert told["day"][0] == {"day": "2026-01-31", "numbers": 1, "purchases": 1, "spent": "0.005"}
    assert sum(day["numbers"] for day in told["day"]) == 3
    runs = {row["run"].partition("/")[0] == dag_id: row["numbers"] for row in told["run"]}
    assert runs == {True: 2, False: 1}
    assert told["all"] == {"numbers": 3, "purchases": 4, "spent": "0.02"}


def test_totals_are_an_aligned_table(sandbox: Sandbox, database: Database, command: Command) -> None:
    enrich(database, ONE, TWO)

    lines = command(*TOTALS, "--by", "status").splitlines()

    assert lines[:5] == [
        LEDGERS[1],
        "",
        "status  numbers  purchases   spent",
        "ok            2          2  0.0100",
        "all           2          2  0.0100",
    ]
    assert len(lines) == 7


def test_totals_of_rcs_name_no_price(sandbox: Sandbox, sqlite_database: Database, command: Command) -> None:
    sqlite_database.contacts([ONE])
    run_task(RcsCapabilityOperator, **FROM_CONTACTS)
    of_rcs = ("totals", "--conn-id", "warehouse", "--api", "rcs")

    assert "spent" not in command(*of_rcs)
    assert json.loads(command(*of_rcs, "--json"))["all"] == {"numbers": 1, "purchases": 1}


def test_totals_hold_no_number_whatever_a_run_is_called(
    sandbox: Sandbox, sqlite_database: Database, command: Command
) -> None:
    enrich(sqlite_database, ONE)
    sqlite_database.execute(f"UPDATE {LEDGERS[1]} SET run_id = :run", {"run": f"dag/task/for {ONE}"})

    for form in ((), ("--json",)):
        told = command(*TOTALS, *form)
        assert ONE[1:] not in told
        assert f"dag/task/for {mask(ONE)}" in told


def test_totals_change_nothing_and_make_no_table(database: Database, command: Command) -> None:
    assert "There is no kaleyra_number_ledger in this database" in command(*TOTALS, status=1)
    assert inspect(database.engine).get_table_names() == []
