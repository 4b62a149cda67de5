"""Numbers from the XCom of an upstream query; outcomes in a table, and as an XCom."""

from __future__ import annotations

import json

from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from tests.support.databases import Database
from tests.support.examples import run_example
from tests.support.numbers import numbers

KNOWN, *ASKED = numbers(5)


def fill(database: Database) -> None:
    database.contacts([KNOWN, *ASKED, "n/a"])
    database.execute("UPDATE contacts SET rcs = true WHERE id = 1")


def test_the_rows_of_the_query_are_looked_up_and_filed(sandbox: Sandbox, database: Database) -> None:
    fill(database)

    ran = run_example("enrich_from_query")

    filed = database.rows("SELECT raw_number, current_operator FROM contacts_numbers")
    assert {row["raw_number"]: row["current_operator"] for row in filed} == {
        **{number: subscriber(number).current.name for number in ASKED},
        "n/a": None,
    }
    assert sandbox.account.purchases["number"] == dict.fromkeys(ASKED, 1)
    assert ran["numbers"].xcom == ran["numbers"].summary


def test_the_outcomes_are_the_xcom_of_the_other_task_and_counted_by_the_next(
    sandbox: Sandbox, database: Database
) -> None:
    fill(database)

    ran = run_example("enrich_from_query")

    assert {row["raw_number"] for row in ran["rcs"].xcom} == {*ASKED, "n/a"}
    reached = [subscriber(number).rcs_enabled for number in ASKED]
    words = {True: "yes", False: "no", None: "unknown"}
    assert ran["reach"].xcom == {words[one]: reached.count(one) for one in set(reached)}


def test_a_second_run_buys_nothing(sandbox: Sandbox, database: Database) -> None:
    fill(database)
    run_example("enrich_from_query")

    again = run_example("enrich_from_query")

    for task in ("numbers", "rcs"):
        assert again[task].summary is not None
        assert (again[task].summary["asked"], again[task].summary["reused"]) == (0, len(ASKED))
    assert {count for bought in sandbox.account.purchases.values() for count in bought.values()} == {1}


def test_no_number_is_in_what_airflow_renders(sandbox: Sandbox, database: Database) -> None:
    fill(database)

    rendered = json.dumps([run.rendered for run in run_example("enrich_from_query").values()])

    assert "5 numbers" in rendered
    assert [number for number in (KNOWN, *ASKED) if number[1:] in rendered] == []
