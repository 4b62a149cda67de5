"""What is bought, and what is not bought again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from airflow_provider_kaleyra.cli import main as kaleyra_ledger
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.sandbox import Sandbox
from tests.support.airflow_runs import TaskRun, run, run_task
from tests.support.databases import Database
from tests.support.numbers import numbers, spelled

TEN = numbers(10)
LEDGER = "kaleyra_number_ledger"


def enrich(**parameters: Any) -> TaskRun:
    defaults = {
        "sql_conn_id": "warehouse",
        "source_table": "contacts",
        "number_column": "phone",
        "result_table": "filed",
    }
    return run_task(NumberLookupOperator, **{**defaults, **parameters})


def summary(ran: TaskRun, *names: str) -> tuple[Any, ...]:
    assert ran.summary is not None
    return tuple(ran.summary[name] for name in names)


def age(database: Database, phone: str, days: int) -> None:
    database.execute(
        f"UPDATE {LEDGER} SET answered_at = :then WHERE phone_number = :phone",
        {"then": (datetime.now(UTC) - timedelta(days=days)).replace(tzinfo=None), "phone": phone},
    )


def test_a_second_run_buys_nothing(sandbox: Sandbox, database: Database) -> None:
    database.contacts([*TEN, spelled(TEN[0])])
    enrich()

    ran = enrich()

    assert summary(ran, "asked", "reused", "requests", "price") == (0, 11, 0, "0")
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)


def test_only_what_is_older_than_max_age_is_asked_again(sandbox: Sandbox, database: Database) -> None:
    database.contacts(TEN)
    enrich()
    age(database, TEN[3], days=8)
    age(database, TEN[4], days=6)

    ran = enrich(max_age=timedelta(days=7))

    assert summary(ran, "asked", "reused") == (1, 9)
    assert sandbox.account.purchases["number"][TEN[3]] == 2


def test_a_max_age_of_zero_always_asks(sandbox: Sandbox, database: Database) -> None:
    database.contacts([TEN[0], spelled(TEN[0])])
    enrich()

    ran = enrich(max_age=timedelta(0))

    assert summary(ran, "asked", "ok") == (1, 2)
    assert sandbox.account.purchases["number"] == {TEN[0]: 2}


def test_no_max_age_never_asks_again(sandbox: Sandbox, database: Database) -> None:
    database.contacts(TEN)
    enrich()
    age(database, TEN[0], days=4000)

    assert summary(enrich(max_age=None), "asked") == (0,)


def test_another_dag_with_a_table_of_its_own_buys_only_what_is_new(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(TEN[:6])
    database.contacts(TEN[4:], table="leads")
    enrich()

    ran = enrich(source_table="leads", result_table="leads_filed")

    assert summary(ran, "asked", "reused") == (4, 2)
    assert len(database.rows("SELECT * FROM leads_filed WHERE status = 'ok' AND country = 'US'")) == 6
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)


def test_a_number_that_the_service_refused_is_not_asked_about_again_either(
    sandbox: Sandbox, database: Database
) -> None:
    (nobody,) = numbers(1, assigned=False)
    database.contacts([nobody])
    enrich()

    ran = enrich()

    assert summary(ran, "asked", "reused") == (0, 1)
    assert database.rows("SELECT status, reason FROM filed") == [
        {"status": "invalid", "reason": "refused_by_service"}
    ]


def test_a_failed_number_is_asked_about_in_the_next_run(sandbox: Sandbox, database: Database) -> None:
    database.contacts(TEN)
    sandbox.fault("missing", number=TEN[2], times=1)

    first = enrich()
    assert summary(first, "ok", "failed") == (9, 1)
    assert database.rows("SELECT phone_number, reason FROM filed WHERE status = 'failed'") == [
        {"phone_number": TEN[2], "reason": "missing_from_answer"}
    ]

    assert summary(enrich(), "asked", "ok", "reused") == (1, 1, 9)


def test_a_failed_question_that_cost_nothing_leaves_an_earlier_answer_to_reuse(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(TEN)
    enrich()
    sandbox.fault("json_error", rate=1)
    failed = enrich(max_age=timedelta(0), max_failed=1, result_table="other")
    assert summary(failed, "asked", "failed") == (10, 10)
    sandbox.clear_faults()

    assert summary(enrich(result_table="third"), "asked", "reused") == (0, 10)
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)


def test_an_airflow_retry_pays_only_for_what_has_no_answer_yet(sandbox: Sandbox, database: Database) -> None:
    database.contacts(TEN)
    sandbox.fault("missing", number=TEN[2], times=1)

    ran = enrich(max_age=timedelta(0), max_failed=0, retries=1, retry_delay=timedelta(0))

    assert ran.state == "success"
    assert summary(ran, "asked", "ok", "reused") == (1, 1, 9)
    assert sandbox.account.purchases["number"] == {**dict.fromkeys(TEN, 1), TEN[2]: 2}


def test_two_spellings_pages_apart_are_one_purchase(
    sandbox: Sandbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_kaleyra.enrichment.run.CHUNK", 2)
    monkeypatch.setattr("airflow_provider_kaleyra.api.batches.WINDOW", 1)
    database.contacts([TEN[0], *TEN[1:9], spelled(TEN[0]), TEN[0]])

    ran = enrich(max_age=timedelta(0), batch_size=1, max_workers=2)

    assert summary(ran, "inputs", "distinct", "asked") == (11, 9, 9)
    assert summary(ran, "ok") == (11,)
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN[:9], 1)
    assert len(database.rows("SELECT * FROM filed WHERE status = 'ok'")) == 10


def test_two_spellings_pages_apart_are_one_purchase_before_either_is_answered(
    sandbox: Sandbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_kaleyra.enrichment.run.CHUNK", 1)
    database.contacts([TEN[0], TEN[1], spelled(TEN[0])])

    ran = enrich()

    assert summary(ran, "inputs", "distinct", "asked", "ok") == (3, 2, 2, 3)
    assert [sorted(request.numbers) for request in sandbox.account.requests] == [TEN[:2]]


def test_what_is_in_doubt_is_bought_again_by_default_and_both_are_counted(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(TEN[:1])
    sandbox.fault("empty", at=1)

    first = enrich(max_failed=1)
    assert summary(first, "in_doubt", "ok") == (1, 0)

    assert summary(enrich(), "asked", "ok") == (1, 1)
    assert database.rows(f"SELECT purchases FROM {LEDGER}") == [{"purchases": 2}]
    assert sandbox.account.purchases["number"] == {TEN[0]: 2}


def test_what_is_in_doubt_is_held_where_the_user_says_so(sandbox: Sandbox, database: Database) -> None:
    database.contacts(TEN[:2])
    sandbox.fault("empty", at=1)
    enrich(max_failed=1)

    ran = enrich(in_doubt="hold")

    assert summary(ran, "asked", "in_doubt", "reused") == (0, 2, 0)
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN[:2], 1)


def test_what_was_paid_for_and_left_out_of_the_answer_is_held_until_it_is_released(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(TEN)
    sandbox.fault("missing", number=TEN[3], times=1)
    enrich(max_failed=1)

    held = enrich(in_doubt="hold")
    assert summary(held, "asked", "in_doubt", "reused") == (0, 1, 9)

    assert kaleyra_ledger(["release", "--conn-id", "warehouse", "--api", "number"]) == 0
    assert summary(enrich(in_doubt="hold"), "asked", "ok") == (1, 1)


def test_a_retry_that_holds_what_its_first_try_left_in_doubt_is_no_success(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(TEN)
    sandbox.fault("empty", rate=1)

    ran = enrich(in_doubt="hold", retries=1, retry_delay=timedelta(0))

    assert ran.state == "failed"
    assert summary(ran, "asked", "in_doubt") == (0, 10)
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)


def test_a_claim_that_nobody_settled_is_in_doubt_by_word_where_the_user_says_hold(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(TEN[:2])
    enrich()
    then = datetime.now(UTC) - timedelta(hours=2)
    database.execute(
        f"UPDATE {LEDGER} SET status = 'requested', asked_at = :then",
        {"then": then if database.name == "postgres" else then.replace(tzinfo=None)},
    )

    ran = enrich(in_doubt="hold")

    assert summary(ran, "asked", "in_doubt") == (0, 2)
    for table in ("filed", LEDGER):
        assert database.rows(f"SELECT DISTINCT status FROM {table}") == [{"status": "in_doubt"}]


def test_a_run_asks_about_no_more_than_max_lookups_and_the_next_begins_there(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(TEN)

    first = enrich(max_lookups=4)
    assert summary(first, "asked", "ok", "not_asked") == (4, 4, 6)
    assert len(database.rows("SELECT * FROM filed")) == 4

    assert summary(enrich(max_lookups=100), "asked", "reused", "not_asked") == (6, 4, 0)
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)


def test_what_is_not_asked_has_its_place_in_the_xcom(sandbox: Sandbox) -> None:
    ran = run_task(NumberLookupOperator, numbers=TEN[:3], max_lookups=1)

    assert [row["status"] for row in ran.xcom] == ["ok", "not_asked", "not_asked"]


def test_a_run_stops_before_it_costs_more_than_max_price(sandbox: Sandbox, database: Database) -> None:
    database.contacts(TEN)

    ran = enrich(max_price="0.02", batch_size=2)

    assert ran.summary is not None
    assert Decimal(ran.summary["price"]) == sandbox.account.charged == Decimal("0.02")
    assert summary(ran, "ok", "not_asked") == (4, 6)


def test_a_lost_first_answer_does_not_let_a_run_pass_max_price(sandbox: Sandbox, database: Database) -> None:
    database.contacts(numbers(100))
    sandbox.fault("reset", at=1)

    ran = enrich(max_price="0.04", batch_size=2, max_failed=1)

    assert ran.state == "success"
    assert sandbox.account.charged <= Decimal("0.04")


@pytest.mark.parametrize("limit", [{"max_lookups": 4}, {"max_price": "0.02"}], ids="-".join)
def test_a_limit_holds_over_all_tries_of_a_run(
    sandbox: Sandbox, database: Database, limit: dict[str, Any]
) -> None:
    database.contacts(TEN)
    sandbox.fault("reset", at=2)

    enrich(**limit, retries=2, retry_delay=timedelta(0), max_failed=0, batch_size=2)

    assert sum(sandbox.account.purchases["number"].values()) == 4


def test_the_ledger_knows_what_each_number_cost(sandbox: Sandbox, database: Database) -> None:
    database.contacts(TEN[:7])

    enrich(batch_size=3)
    enrich(batch_size=3, max_age=timedelta(0))

    spent = [Decimal(str(row["spent"])) for row in database.rows(f"SELECT spent FROM {LEDGER}")]
    assert sum(spent) == sandbox.account.charged == Decimal("0.07")


def test_shards_share_the_input_and_pay_once_for_a_number_spelled_in_two(
    sandbox: Sandbox, database: Database
) -> None:
    spellings = [form for number in TEN for form in (number, spelled(number))]
    database.contacts(spellings)

    def tasks() -> None:
        NumberLookupOperator.partial(
            task_id="shard",
            sql_conn_id="warehouse",
            source_table="contacts",
            number_column="phone",
            result_table="filed",
            max_age=timedelta(0),
        ).expand(shard=[(0, 3), (1, 3), (2, 3)])

    ran = run(tasks)

    assert sum(summary(shard, "inputs")[0] for shard in ran.values()) == 20
    assert all(summary(shard, "inputs")[0] for shard in ran.values())
    assert len(database.rows("SELECT * FROM filed WHERE status = 'ok'")) == 20
    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN, 1)


def test_601_numbers_are_two_bulk_requests_of_301_and_300(sandbox: Sandbox, database: Database) -> None:
    database.contacts(numbers(601))

    ran = run_task(
        RcsCapabilityOperator,
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        result_table="filed",
    )

    assert sorted(len(request.numbers) for request in sandbox.account.requests) == [300, 301]
    assert summary(ran, "requests", "ok") == (2, 601)


@pytest.mark.parametrize(("count", "requests"), [(99, 99), (100, 1)])
def test_fewer_than_100_numbers_are_asked_about_singly(
    count: int, requests: int, sandbox: Sandbox, sqlite_database: Database
) -> None:
    sqlite_database.contacts(numbers(count))

    run_task(
        RcsCapabilityOperator,
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        result_table="filed",
    )

    assert len(sandbox.account.requests) == requests


def test_law_10_cost_follows_change(
    sandbox: Sandbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run in which a hundredth is stale asks about that, and reads little else."""
    phones = numbers(1000)
    database.contacts(phones)
    enrich()
    requests = len(sandbox.account.requests)
    monkeypatch.setattr("airflow_provider_kaleyra.enrichment.run.CHUNK", 50)
    pages: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "FROM contacts" in statement and "LIMIT" in statement:
            pages.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert summary(enrich(), "inputs", "distinct", "asked", "reused") == (1000, 1000, 0, 1000)
        assert len(sandbox.account.requests) == requests
        for phone in phones[5::100]:
            age(database, phone, days=31)
        assert summary(enrich(), "inputs", "distinct", "asked", "reused") == (1000, 1000, 10, 990)
    finally:
        event.remove(Engine, "before_cursor_execute", note)

    assert [len(request.numbers) for request in sandbox.account.requests[requests:]] == [10]
    assert len(pages) == 2


def test_rows_that_have_their_outcome_are_counted_once_with_new_spellings_of_their_numbers(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(TEN)
    enrich()
    database.execute("UPDATE contacts SET phone = :phone WHERE id = 1", {"phone": spelled(TEN[1])})

    ran = enrich()

    assert summary(ran, "inputs", "distinct", "asked", "reused") == (10, 9, 0, 10)
    assert len(database.rows("SELECT * FROM filed")) == 11


def test_a_newer_answer_that_another_dag_has_bought_is_filed_here_too(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts(TEN[:2])
    enrich()
    enrich(result_table="theirs", where="id = 1", max_age=timedelta(0))

    ran = enrich()

    assert summary(ran, "asked", "reused") == (0, 2)
    moments = [
        {row["phone_number"]: row["answered_at"] for row in database.rows(f"SELECT * FROM {table}")}
        for table in ("filed", LEDGER)
    ]
    assert moments[0] == moments[1]


@pytest.mark.parametrize("where", ["phone_number IS NOT NULL", "status = 'mine'"])
def test_where_means_the_source_alone_although_our_tables_have_a_column_of_that_name(
    where: str, sandbox: Sandbox, database: Database
) -> None:
    database.execute("CREATE TABLE contacts (id INTEGER PRIMARY KEY, phone_number TEXT, status TEXT)")
    database.execute(
        "INSERT INTO contacts VALUES (:id, :phone, 'mine')",
        [{"id": n, "phone": phone} for n, phone in enumerate(TEN)],
    )
    enrich(number_column="phone_number", where=where)

    ran = enrich(number_column="phone_number", where=where)

    assert ran.state == "success"
    assert summary(ran, "inputs", "distinct", "reused", "asked") == (10, 10, 10, 0)


def test_run_ids_and_statuses_are_compared_letter_for_letter(sandbox: Sandbox, database: Database) -> None:
    database.contacts(TEN[:1])
    enrich()
    database.execute(f"UPDATE {LEDGER} SET run_id = upper(run_id)")

    (row,) = database.rows(f"SELECT count(*) AS n FROM {LEDGER} WHERE run_id = lower(run_id)")

    assert row["n"] == 0
    assert database.rows("SELECT count(*) AS n FROM filed WHERE status = 'OK'") == [{"n": 0}]


def test_numbers_are_read_anew_where_a_setting_that_says_how_has_changed(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts([TEN[0][2:]])
    enrich(default_region="US")
    assert database.rows("SELECT phone_number FROM filed") == [{"phone_number": TEN[0]}]

    enrich()

    assert database.rows("SELECT phone_number, reason FROM filed") == [
        {"phone_number": None, "reason": "no_country_code"}
    ]
