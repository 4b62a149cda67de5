"""What Airflow's own retries cost, and when there are any."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_kaleyra import retries
from airflow_provider_kaleyra.api.models import NumberLookup
from airflow_provider_kaleyra.enrichment import run as pipeline
from airflow_provider_kaleyra.enrichment.checkpoint import Checkpoints
from airflow_provider_kaleyra.enrichment.database import engine_of
from airflow_provider_kaleyra.enrichment.kinds import NUMBER
from airflow_provider_kaleyra.enrichment.ledger import Ledger
from airflow_provider_kaleyra.enrichment.memory import Claimed, Run, Settled
from airflow_provider_kaleyra.errors import AuthenticationError, RateLimitedError, ServiceError, Status
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.sandbox import Sandbox
from tests.support.airflow_runs import Said, TaskRun, run, run_task
from tests.support.databases import Database
from tests.support.numbers import numbers

TEN = numbers(10)
LEDGER = "kaleyra_number_ledger"

with_policies = pytest.mark.skipif(
    not AIRFLOW_V_3_3_PLUS, reason="Airflow before 3.3 has no retry policies and no task state store"
)


@with_policies
def test_a_retry_without_a_ledger_buys_only_what_has_no_answer_yet(sandbox: Sandbox) -> None:
    sandbox.fault("missing", number=TEN[3], times=1)

    ran = run_task(
        NumberLookupOperator, numbers=TEN, batch_size=2, max_failed=0, retries=1, retry_delay=timedelta(0)
    )

    assert ran.state == "success"
    assert [row["phone_number"] for row in ran.xcom] == TEN
    assert {row["status"] for row in ran.xcom} == {"ok"}
    assert sandbox.account.purchases["number"] == {**dict.fromkeys(TEN, 1), TEN[3]: 2}


@with_policies
def test_a_cleared_task_that_had_succeeded_asks_anew(sandbox: Sandbox) -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(2):
        run(lambda: NumberLookupOperator(task_id="task", numbers=TEN[:2]), "cleared", logical_date=when)

    assert sandbox.account.purchases["number"] == dict.fromkeys(TEN[:2], 2)


class Store(dict[str, Any]):
    """A task state store as Airflow's behaves."""

    def set(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        del self[key]


class Flaky(Store):
    """A task state store that is out of reach for some of the calls.

    :param out: tells it for the n-th call.
    """

    def __init__(self, out: Callable[[int], bool]) -> None:
        super().__init__()
        self.out = out
        self._calls = itertools.count(1)

    def set(self, key: str, value: Any) -> None:
        self._call()
        super().set(key, value)

    def delete(self, key: str) -> None:
        self._call()
        super().delete(key)

    def _call(self) -> None:
        if self.out(next(self._calls)):
            raise ConnectionError(f"503 for {TEN[0]}")


@with_policies
def test_a_store_that_is_out_of_reach_for_a_while_ends_no_run_and_loses_no_answer(
    sandbox: Sandbox, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Flaky(lambda call: call in (2, 3))
    monkeypatch.setattr("airflow_provider_kaleyra.operators.base.task_state_store", lambda _: store)
    sandbox.fault("missing", number=TEN[8], times=1)

    ran = run_task(
        NumberLookupOperator,
        numbers=TEN,
        batch_size=2,
        max_workers=1,
        max_failed=0,
        retries=1,
        retry_delay=timedelta(0),
    )

    assert ran.state == "success"
    assert sandbox.account.purchases["number"] == {**dict.fromkeys(TEN, 1), TEN[8]: 2}
    told = said()
    assert told.count("task state store") == 1
    assert TEN[0][1:] not in told


def test_a_store_that_cannot_forget_ends_no_run(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Flaky(lambda call: call > 1)
    monkeypatch.setattr("airflow_provider_kaleyra.operators.base.task_state_store", lambda _: store)

    ran = run_task(NumberLookupOperator, numbers=TEN[:2])

    assert ran.state == "success"
    assert [row["status"] for row in ran.xcom] == ["ok", "ok"]


@pytest.mark.parametrize("out", [lambda _: False, lambda call: call % 3 != 0], ids=["sound", "flaky"])
def test_answers_are_kept_between_tries_in_pieces_of_less_than_64_kb(
    sandbox: Sandbox, out: Callable[[int], bool]
) -> None:
    store = Flaky(out)
    checkpoints = Checkpoints(store)
    phones = numbers(1000)
    for start in range(0, len(phones), 7):
        answers = [
            Settled.of(
                Claimed(number, None, datetime.now(UTC), 0.0),
                NumberLookup(phone_number=number, current_operator="x" * 100),
                NUMBER,
                Run("task"),
                datetime.now(UTC),
            )
            for number in phones[start : start + 7]
        ]
        checkpoints.settle(None, answers)
    store.out = lambda _: False
    checkpoints.settle(None, [])

    assert len(store) > 1
    assert max(len(json.dumps(piece)) for piece in store.values()) < 65_535
    again = Checkpoints(store)
    assert set(again.known(None, phones)) == set(phones)
    again.end()
    assert store == {}


@with_policies
@pytest.mark.parametrize(
    ("error", "decision"),
    [
        (AuthenticationError("no"), ("fail", None)),
        (RateLimitedError("later", retry_after=90), ("retry", timedelta(seconds=90))),
        (RateLimitedError("later"), ("default", None)),
        (ServiceError("oh"), ("default", None)),
        (ValueError("oh"), ("default", None)),
    ],
)
def test_the_kind_of_error_decides_whether_and_when_airflow_retries(
    error: Exception, decision: tuple[str, timedelta | None]
) -> None:
    decided = retries.KaleyraRetryPolicy().evaluate(error, 1, 3)

    assert (decided.action.value, decided.retry_delay) == decision


@with_policies
def test_operators_bring_the_policy_mapped_or_not_and_the_users_own_wins() -> None:
    from airflow.sdk import DAG, ExceptionRetryPolicy

    own = ExceptionRetryPolicy(rules=[])
    with DAG("policies"):
        mapped = NumberLookupOperator.partial(task_id="mapped", numbers=TEN).expand(shard=[(0, 1)])

    unmapped = mapped.unmap({"shard": (0, 1)})
    assert isinstance(unmapped.retry_policy, retries.KaleyraRetryPolicy)
    assert isinstance(NumberLookupOperator(task_id="x", numbers=TEN).retry_policy, retries.KaleyraRetryPolicy)
    assert NumberLookupOperator(task_id="y", numbers=TEN, retry_policy=own).retry_policy is own


@pytest.fixture
def ledgers(database: Database) -> tuple[Ledger, Ledger]:
    """The ledger as a run sees it, and as another run does."""
    return (
        Ledger(engine_of("warehouse"), NUMBER, Run("dag/task/run")),
        Ledger(engine_of("warehouse"), NUMBER, Run("other/task/run")),
    )


def claim(ledger: Ledger) -> list[str]:
    with ledger.writing() as connection:
        return [claimed.phone_number for claimed in ledger.claim(connection, TEN)]


def asked(database: Database, ago: timedelta) -> None:
    then = datetime.now(UTC) - ago
    database.execute(
        f"UPDATE {LEDGER} SET asked_at = :then",
        {"then": then if database.name == "postgres" else then.replace(tzinfo=None)},
    )


def test_a_live_claim_of_another_run_is_left_alone(
    ledgers: tuple[Ledger, Ledger], database: Database
) -> None:
    mine, others = ledgers
    assert claim(others) == TEN
    asked(database, timedelta(minutes=59))

    assert claim(mine) == []


def test_another_runs_claim_is_dead_when_its_lease_is_over(
    ledgers: tuple[Ledger, Ledger], database: Database
) -> None:
    mine, others = ledgers
    assert claim(others) == TEN
    asked(database, timedelta(minutes=61))

    assert claim(mine) == TEN
    assert database.rows(f"SELECT DISTINCT purchases FROM {LEDGER}") == [{"purchases": 2}]


def test_a_claim_of_the_runs_own_earlier_try_is_dead_at_once(
    ledgers: tuple[Ledger, Ledger], database: Database
) -> None:
    mine, _ = ledgers
    assert claim(mine) == TEN

    assert claim(Ledger(engine_of("warehouse"), NUMBER, Run("dag/task/run"))) == TEN


def test_a_sibling_among_mapped_tasks_is_no_earlier_try(database: Database) -> None:
    first, second = (Ledger(engine_of("warehouse"), NUMBER, Run("dag/task/run", n)) for n in range(2))
    assert claim(first) == TEN

    assert claim(second) == []


def test_a_claim_from_a_clock_that_is_ahead_is_alive(
    ledgers: tuple[Ledger, Ledger], database: Database
) -> None:
    mine, others = ledgers
    assert claim(others) == TEN
    asked(database, -timedelta(minutes=10))

    assert claim(mine) == []


def test_a_workers_wrong_clock_does_not_matter_where_the_database_has_one(
    ledgers: tuple[Ledger, Ledger], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.name == "sqlite":
        pytest.skip("SQLite has no clock of its own, and its users share a machine")
    mine, others = ledgers

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(days=1)

    assert claim(others) == TEN
    monkeypatch.setattr("airflow_provider_kaleyra.enrichment.tables.datetime", Ahead)
    assert claim(mine) == []


def settle(ledger: Ledger, run: Run, status: Status) -> None:
    """Claim the ten for a run, and file what became of them."""
    with ledger.writing() as connection:
        settled = [
            Settled.of(
                claimed,
                NumberLookup(phone_number=claimed.phone_number, status=status),
                NUMBER,
                run,
                claimed.now(),
            )
            for claimed in ledger.claim(connection, TEN)
        ]
        assert len(settled) == len(TEN)
        ledger.settle(connection, settled)


def test_what_another_run_was_answered_since_it_was_looked_up_is_not_claimed(
    ledgers: tuple[Ledger, Ledger],
) -> None:
    mine, others = ledgers
    with mine.reading() as connection:
        assert mine.known(connection, TEN) == {}
    settle(others, Run("other/task/run"), "ok")

    assert claim(mine) == []


def test_what_another_run_got_no_answer_about_since_this_one_began_is_claimed(
    ledgers: tuple[Ledger, Ledger],
) -> None:
    mine, others = ledgers
    settle(others, Run("other/task/run"), "failed")

    with mine.reading() as connection:
        assert not any(known.this_try for known in mine.known(connection, TEN).values())
    assert claim(mine) == TEN


@pytest.fixture
def holding(database: Database) -> Ledger:
    """The ledger as a run sees it that holds what is in doubt."""
    return Ledger(engine_of("warehouse"), NUMBER, Run("dag/task/run"), hold=True)


def test_what_came_in_doubt_since_it_was_looked_up_is_not_claimed_where_doubts_are_held(
    holding: Ledger, ledgers: tuple[Ledger, Ledger]
) -> None:
    _, others = ledgers
    settle(others, Run("other/task/run"), "in_doubt")

    assert claim(holding) == []


def test_a_dead_claim_is_held_and_a_live_one_is_not(
    holding: Ledger, ledgers: tuple[Ledger, Ledger], database: Database
) -> None:
    _, others = ledgers
    claim(others)
    for ago, held in ((timedelta(minutes=59), False), (timedelta(minutes=61), True)):
        asked(database, ago)
        with holding.reading() as connection:
            known = holding.known(connection, TEN)
        assert {(known[number].held, known[number].elsewhere) for number in TEN} == {(held, not held)}
    assert claim(holding) == []


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        (Run("dag/task/run"), Run("dag/task/run2")),
        (Run("dag_1/task/run"), Run("dag-1/task/run", 0)),
    ],
    ids=["longer", "alike"],
)
def test_the_answers_of_a_run_with_a_similar_name_are_not_this_runs_own(
    database: Database, mine: Run, other: Run
) -> None:
    engine = engine_of("warehouse")
    settle(Ledger(engine, NUMBER, other), other, "ok")

    assert claim(Ledger(engine, NUMBER, mine, max_age=timedelta(0))) == TEN


def lookup_all() -> TaskRun:
    return run_task(NumberLookupOperator, numbers=TEN, sql_conn_id="warehouse", result_table="filed")


def test_what_another_task_is_asking_about_is_awaited_and_filed_here_too(
    sandbox: Sandbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = Run("dag/task/another")
    ledger = Ledger(engine_of("warehouse"), NUMBER, others)
    with ledger.writing() as connection:
        claims = ledger.claim(connection, TEN)

    def answered(_: float) -> None:
        lookups = [NumberLookup(phone_number=number) for number in TEN]
        settled = [
            Settled.of(claimed, lookup, NUMBER, others, claimed.now())
            for claimed, lookup in zip(claims, lookups, strict=True)
        ]
        with ledger.writing() as connection:
            ledger.settle(connection, settled)

    monkeypatch.setattr(pipeline.time, "sleep", answered)
    ran = lookup_all()

    assert ran.summary is not None
    assert (ran.summary["asked"], ran.summary["reused"], ran.summary["not_asked"]) == (0, 10, 0)
    assert len(database.rows("SELECT * FROM filed WHERE status = 'ok'")) == 10


def test_what_another_task_does_not_answer_in_time_is_left_to_the_next_run(
    sandbox: Sandbox, sqlite_database: Database, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "AWAITED", 0)
    assert claim(Ledger(engine_of("warehouse"), NUMBER, Run("dag/task/another"))) == TEN

    ran = lookup_all()

    assert ran.summary is not None
    assert (ran.summary["asked"], ran.summary["not_asked"]) == (0, 10)
    assert "Another task is asking about 10 of the numbers" in said()
