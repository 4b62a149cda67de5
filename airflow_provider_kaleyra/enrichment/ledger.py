"""The ledger: what was asked, when, by which run, what came and what it cost. It knows what may be bought."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, false, or_, select, true
from sqlalchemy.engine import Connection, Engine, Row
from sqlalchemy.sql import ColumnElement

from airflow_provider_kaleyra.api.models import Lookup
from airflow_provider_kaleyra.enrichment.kinds import ANSWERED, OUTCOME_COLUMNS, Kind
from airflow_provider_kaleyra.enrichment.tables import (
    ROWS_AT_ONCE,
    clock,
    ensure,
    ledger_table,
    reading,
    upsert,
)

LEASE = timedelta(hours=1)
"""How long another run's claim is taken to be alive."""

REQUESTED = "requested"


@dataclass(frozen=True)
class Run:
    """Who asks: one task of one DAG run, in all its tries; ``map_index`` tells its mapped tasks apart."""

    task: str
    map_index: int = -1

    @property
    def id(self) -> str:
        """The ``run_id`` in ledger and results."""
        return self.task if self.map_index < 0 else f"{self.task}/{self.map_index}"


@dataclass(frozen=True)
class Known:
    """What the ledger holds of a number, and what follows from it for this run."""

    outcome: Mapping[str, Any]
    reusable: bool
    this_try: bool
    held: bool
    elsewhere: bool


@dataclass(frozen=True)
class Claimed:
    """A number that this run may now ask about, and its ledger row as it was before."""

    phone_number: str
    before: Mapping[str, Any] | None
    asked_at: datetime


class Ledger:
    """One API's ledger in the user's database.

    Methods that take a connection leave it to the caller to commit.

    :param max_age: how old an answer may be to be reused; ``None`` for any age.
    :param hold: whether a number that may have been paid for is never asked about again.
    """

    def __init__(
        self,
        engine: Engine,
        kind: Kind,
        run: Run,
        *,
        schema: str | None = None,
        max_age: timedelta | None = timedelta(days=30),
        hold: bool = False,
    ) -> None:
        self.engine = engine
        self.kind = kind
        self.table = ledger_table(kind, schema)
        self._run = run
        self._max_age = max_age
        self._hold = hold
        ensure(engine, self.table)
        with reading(engine) as connection:
            self._started = clock(connection)

    def known(self, connection: Connection, numbers: Collection[str]) -> dict[str, Known]:
        """Look numbers up; those that were never asked are left out."""
        now = clock(connection)
        flags = {
            "reusable": self._reusable(now),
            "this_try": self._this_try(),
            "held": self._held(now),
            "elsewhere": self._elsewhere(now),
        }
        found = {}
        for row in self._select(
            connection, numbers, *(flag.label(f"_{name}") for name, flag in flags.items())
        ):
            columns = {
                name: row._mapping[name]
                for name in ("phone_number", *OUTCOME_COLUMNS, *self.kind.answer_types)
            }
            found[row.phone_number] = Known(
                columns, **{name: bool(row._mapping[f"_{name}"]) for name in flags}
            )
        return found

    def claim(self, connection: Connection, numbers: Iterable[str]) -> list[Claimed]:
        """Mark numbers as asked for by this run, those that nobody answered or claimed meanwhile."""
        now = clock(connection)
        # In one order everywhere, so that two tasks that want the same numbers cannot lock each other out.
        wanted = sorted(numbers)
        before = {row.phone_number: dict(row._mapping) for row in self._select(connection, wanted, lock=True)}
        claim = {
            "status": REQUESTED,
            "run_id": self._run.id,
            "asked_at": now,
            "purchases": 1,
            "spent": Decimal(0),
        }
        upsert(
            connection,
            self.table,
            [{"phone_number": number, **claim} for number in wanted],
            update=("status", "run_id", "asked_at"),
            also={"purchases": self.table.c.purchases + 1},
            where=~or_(self._reusable(now), self._this_try(), self._held(now), self._elsewhere(now)),
        )
        mine = and_(
            self.table.c.run_id == self._run.id,
            self.table.c.status == REQUESTED,
            self.table.c.asked_at == now,
        )
        return [
            Claimed(row.phone_number, before.get(row.phone_number), now)
            for row in self._select(connection, wanted, where=mine)
        ]

    def settle(
        self, connection: Connection, outcomes: Iterable[tuple[Claimed, Lookup]]
    ) -> list[dict[str, Any]]:
        """File what became of claimed numbers.

        An outcome that is no answer leaves an earlier answer's columns as they were.

        :return: each number's outcome, as columns of a result table.
        """
        now = clock(connection)
        answered: list[tuple[dict[str, Any], dict[str, Any]]] = []
        unanswered: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for claimed, lookup in outcomes:
            row = outcome(lookup, self.kind, self._run, claimed.asked_at, now)
            before = claimed.before or {"purchases": 0, "spent": Decimal(0)}
            account = {
                "purchases": before["purchases"] + lookup.may_have_cost,
                "spent": before["spent"] + (getattr(lookup, "price", None) or 0),
            }
            (answered if lookup.status in ANSWERED else unanswered).append((row, account))
        columns = (*OUTCOME_COLUMNS, "purchases", "spent")
        kept = [name for name in columns if name != "answered_at"]
        for group, update in ((answered, (*columns, *self.kind.answer_types)), (unanswered, kept)):
            rows = sorted(({**row, **account} for row, account in group), key=lambda row: row["phone_number"])
            upsert(connection, self.table, rows, update=update)
        return [row for row, _ in answered + unanswered]

    def release(self, connection: Connection, claims: Sequence[Claimed]) -> None:
        """Take back claims whose request never left: their rows become what they were."""
        new = [claimed.phone_number for claimed in claims if claimed.before is None]
        for part in _parts(new):
            connection.execute(self.table.delete().where(self.table.c.phone_number.in_(part)))
        rows = [claimed.before for claimed in claims if claimed.before is not None]
        upsert(connection, self.table, rows, update=("status", "run_id", "asked_at", "purchases"))

    def _select(
        self,
        connection: Connection,
        numbers: Collection[str],
        *columns: ColumnElement[Any],
        where: ColumnElement[bool] | None = None,
        lock: bool = False,
    ) -> Iterator[Row[Any]]:
        statement = select(self.table, *columns).order_by(self.table.c.phone_number)
        if where is not None:
            statement = statement.where(where)
        if lock:
            statement = statement.with_for_update()
        for part in _parts(list(numbers)):
            yield from connection.execute(statement.where(self.table.c.phone_number.in_(part)))

    def _reusable(self, now: datetime) -> ColumnElement[bool]:
        """An answer that is young enough, or of this DAG run: an Airflow retry pays nothing twice."""
        ledger = self.table.c
        if self._max_age is None:
            fresh: ColumnElement[bool] = true()
        elif not self._max_age:
            fresh = false()
        else:
            fresh = ledger.answered_at > now - self._max_age
        ours = or_(
            ledger.run_id == self._run.task, ledger.run_id.startswith(f"{self._run.task}/", autoescape=True)
        )
        answered = or_(*(ledger.status == status for status in ANSWERED))
        return and_(answered, ledger.answered_at.is_not(None), or_(fresh, ours))

    def _this_try(self) -> ColumnElement[bool]:
        """Settled since this process began: its outcome stands, whatever it is."""
        ledger = self.table.c
        return and_(
            ledger.run_id == self._run.id, ledger.asked_at >= self._started, ledger.status != REQUESTED
        )

    def _elsewhere(self, now: datetime) -> ColumnElement[bool]:
        """On its way: submitted, or claimed by another task that may still be asking."""
        ledger = self.table.c
        claimed = and_(
            ledger.status == REQUESTED,
            ledger.run_id != self._run.id,
            ledger.asked_at > now - LEASE,
        )
        return or_(ledger.status == "pending", claimed)

    def _held(self, now: datetime) -> ColumnElement[bool]:
        """In doubt, by word or as a claim that nobody settled, where the user said to hold those."""
        if not self._hold:
            return false()
        ledger = self.table.c
        return or_(ledger.status == "in_doubt", and_(ledger.status == REQUESTED, ~self._elsewhere(now)))


def outcome(lookup: Lookup, kind: Kind, run: Run, asked_at: datetime, now: datetime) -> dict[str, Any]:
    """Give what a run learnt of a number, as columns of a result table."""
    names = ("phone_number", "status", "reason", "response_code", "error_message", *kind.answer_types)
    return {
        **{name: getattr(lookup, name) for name in names},
        "run_id": run.id,
        "asked_at": asked_at,
        "answered_at": now if lookup.status in ANSWERED else None,
    }


def _parts(numbers: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(numbers), ROWS_AT_ONCE):
        yield numbers[start : start + ROWS_AT_ONCE]
