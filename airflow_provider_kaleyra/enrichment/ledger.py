"""The ledger: what was asked, when, by which run, what came and what it cost. It knows what may be bought."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import Any

from sqlalchemy import and_, case, false, func, or_, select, true
from sqlalchemy.engine import Connection, Engine, Row
from sqlalchemy.sql import ColumnElement

from airflow_provider_kaleyra.enrichment.kinds import ANSWERED, OUTCOME_COLUMNS, Kind
from airflow_provider_kaleyra.enrichment.memory import Claimed, Known, Run, Settled
from airflow_provider_kaleyra.enrichment.tables import (
    clock,
    ensure,
    in_lock_order,
    ledger_table,
    reading,
    writing,
)
from airflow_provider_kaleyra.enrichment.upsert import insert_missing, is_one_of, parts, upsert
from airflow_provider_kaleyra.errors import MissingFromAnswerError

LEASE = timedelta(hours=1)
"""How long another run's claim is taken to be alive,"""
PENDING_LEASE = timedelta(days=7)
"""and how long a submitted lookup may be on its way."""

_NOTHING = Decimal(0)

REQUESTED = "requested"
PENDING = "pending"

_CLAIMED = ("status", "run_id", "asked_at", "purchases", "spent")
"""What a claim changes of a row, and what a row cannot be without."""


class Ledger:
    """One API's ledger in the user's database.

    Methods that take a connection leave it to the caller to commit.

    :param max_age: how old an answer may be to be reused; ``None`` for any age.
    :param hold: whether a number that may have been paid for is never asked about again.
    :param since: when the run began that this only brings to its end: all that it has settled stands.
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
        since: datetime | None = None,
    ) -> None:
        self.engine = engine
        self.kind = kind
        self.table = ledger_table(kind, schema)
        self._run = run
        self._max_age = max_age
        self._hold = hold
        ensure(engine, self.table)
        self._ending = since is not None
        with reading(engine) as connection:
            self.started = since or clock(connection)
            """When the run began, by the database's clock."""

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a connection."""
        return reading(self.engine)

    def writing(self) -> AbstractContextManager[Connection]:
        """Open a transaction."""
        return writing(self.engine)

    def known(self, connection: Connection, numbers: Collection[str]) -> dict[str, Known]:
        """Look numbers up; those that were never asked are left out."""
        now = clock(connection)
        flags = {
            "reusable": self._reusable(now),
            "this_try": self._this_try(),
            "held": self._held(now),
            "pending": self._submitted(now),
            "elsewhere": self._elsewhere(now),
        }
        names = ("phone_number", *OUTCOME_COLUMNS, *self.kind.answer_types)
        columns = (self.table.c[name] for name in names[1:])
        labelled = (flag.label(f"_{name}") for name, flag in flags.items())
        return {
            row.phone_number: Known(
                {name: row._mapping[name] for name in names},
                **{name: bool(row._mapping[f"_{name}"]) for name in flags},
            )
            for row in self._select(connection, numbers, *columns, *labelled)
        }

    def claim(self, connection: Connection, numbers: Collection[str]) -> list[Claimed]:
        """Mark numbers as asked for by this run, those that nobody answered or claimed meanwhile."""
        now = clock(connection)
        ledger = self.table.c
        # In one order everywhere, so that two tasks that want the same numbers seldom lock each other out. If
        # they do, as one settles what the other wants, the database makes one of them try again.
        wanted = sorted(numbers)
        before = {
            row.phone_number: dict(row._mapping)
            for row in self._select(connection, wanted, *(ledger[name] for name in _CLAIMED), lock=True)
        }
        claim = {"status": REQUESTED, "run_id": self._run.id, "asked_at": now}
        new = [number for number in wanted if number not in before]
        inserted = insert_missing(connection, self.table, new, {**claim, "purchases": 1, "spent": _NOTHING})
        free = ~or_(self._reusable(now), self._this_try(), self._held(now), self._elsewhere(now))
        again = self.table.update().where(free).values(**claim, purchases=ledger.purchases + 1)
        for part in parts(list(before)):
            connection.execute(again.where(is_one_of(connection, ledger.phone_number, part)))
        mine = wanted
        if inserted < len(wanted):
            claimed = and_(ledger.run_id == self._run.id, ledger.status == REQUESTED, ledger.asked_at == now)
            mine = [row.phone_number for row in self._select(connection, wanted, where=claimed)]
        started = time.monotonic()
        return [Claimed(number, before.get(number), now, started) for number in mine]

    def reusable(self, connection: Connection) -> ColumnElement[bool]:
        """Tell in SQL which rows of the ledger held an answer to reuse when this run began."""
        return and_(self._reusable(clock(connection)), self.table.c.answered_at <= self.started)

    def bought(self, connection: Connection) -> tuple[int, int, Decimal]:
        """Count the numbers that earlier tries of this run have, or may have, bought; those of them that are
        answered; and what they cost."""
        ledger = self.table.c
        ours = and_(ledger.run_id == self._run.id, or_(ledger.status != "failed", self._left_out()))
        # A number that other runs have bought too is counted at what it costs on average.
        each = ledger.spent / case((ledger.purchases > 0, ledger.purchases), else_=1)
        answered = func.count(case((or_(*(ledger.status == status for status in ANSWERED)), 1)))
        counted = select(func.count(), answered, func.sum(each)).where(ours)
        count, known, price = connection.execute(counted).one()
        # SQLite sums up floats.
        return count, known, round(Decimal(str(price or 0)), 10)

    def doubt(self, connection: Connection, numbers: Collection[str]) -> None:
        """Put what is held in doubt by word, where a person can find and clear it."""
        dead = self._lost(clock(connection))
        for part in parts(list(numbers)):
            these = is_one_of(connection, self.table.c.phone_number, part)
            connection.execute(self.table.update().where(these, dead).values(status="in_doubt"))

    def settle(self, connection: Connection, settled: Sequence[Settled]) -> None:
        """File what became of claimed numbers.

        An outcome that is no answer leaves an earlier answer's columns as they were.
        """
        columns = (*OUTCOME_COLUMNS, "purchases", "spent", *self.kind.answer_types)
        stands = [item.answered for item in settled if item.answered]
        upsert(connection, self.table, sorted(stands, key=itemgetter("phone_number")), columns=_CLAIMED)
        rows = [
            {**item.outcome, "purchases": item.purchases, "spent": item.spent}
            for item in settled
            if not item.answered
        ]
        for kept, group in in_lock_order(rows, "phone_number", self.kind):
            update = [name for name in columns if name not in kept]
            upsert(connection, self.table, group, columns=update)

    def settle_late(self, connection: Connection, settled: Sequence[Settled]) -> list[Settled]:
        """File outcomes that were kept elsewhere; of a number asked about again since, only the price.

        :param settled: in the order in which they came, several of a number too.
        :return: the outcomes that still count.
        """
        numbers = sorted({item.outcome["phone_number"] for item in settled})
        columns = (self.table.c[name] for name in ("status", "run_id", "asked_at", "purchases", "spent"))
        rows = {row.phone_number: row for row in self._select(connection, numbers, *columns, lock=True)}
        spent = {number: row.spent for number, row in rows.items()}
        valid: dict[str, Settled] = {}
        for item in settled:
            number = item.outcome["phone_number"]
            row = rows.get(number)
            if row is None:
                valid[number] = item
                continue
            current = (row.run_id, row.asked_at) == (item.outcome["run_id"], item.outcome["asked_at"])
            if current:
                valid[number] = item
            # Where the outcome stands already, so does its price.
            if not current or row.status != item.outcome["status"]:
                spent[number] += item.price
        late = [item._replace(spent=spent.get(number, item.spent)) for number, item in valid.items()]
        self.settle(connection, late)
        for number in spent.keys() - valid.keys():
            these = self.table.c.phone_number == number
            connection.execute(self.table.update().where(these).values(spent=spent[number]))
        return late

    def release(self, connection: Connection, claims: Sequence[Claimed]) -> None:
        """Take back claims whose request never left: their rows become what they were."""
        columns = (self.table.c[name] for name in ("status", "run_id", "asked_at"))
        numbers = [claimed.phone_number for claimed in claims]
        rows = {row.phone_number: row for row in self._select(connection, numbers, *columns, lock=True)}
        still = [
            claimed
            for claimed in claims
            if (row := rows.get(claimed.phone_number))
            and (row.status, row.run_id, row.asked_at) == (REQUESTED, self._run.id, claimed.asked_at)
        ]
        new = [claimed.phone_number for claimed in still if claimed.before is None]
        for part in parts(new):
            these = is_one_of(connection, self.table.c.phone_number, part)
            connection.execute(self.table.delete().where(these))
        before = [claimed.before for claimed in still if claimed.before is not None]
        upsert(connection, self.table, before, columns=_CLAIMED)

    def _select(
        self,
        connection: Connection,
        numbers: Collection[str],
        *columns: ColumnElement[Any],
        where: ColumnElement[bool] | None = None,
        lock: bool = False,
    ) -> Iterator[Row[Any]]:
        key = self.table.c.phone_number
        statement = select(key, *columns).order_by(key)
        if where is not None:
            statement = statement.where(where)
        if lock:
            statement = statement.with_for_update()
        for part in parts(list(numbers)):
            yield from connection.execute(statement.where(is_one_of(connection, key, part)))

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
        began = true() if self._ending else ledger.asked_at >= self.started
        return and_(ledger.run_id == self._run.id, began, ledger.status != REQUESTED)

    def _elsewhere(self, now: datetime) -> ColumnElement[bool]:
        """On its way: submitted, or claimed by another task that may still be asking."""
        ledger = self.table.c
        claimed = and_(
            ledger.status == REQUESTED,
            ledger.run_id != self._run.id,
            ledger.asked_at > now - LEASE,
        )
        return or_(self._submitted(now), claimed)

    def _submitted(self, now: datetime) -> ColumnElement[bool]:
        """Submitted, and not so long ago that nobody can expect an answer."""
        return and_(self.table.c.status == PENDING, self.table.c.asked_at > now - PENDING_LEASE)

    def _left_out(self) -> ColumnElement[bool]:
        """Asked about, and not in the answer: it may have been billed with the others."""
        reason = self.table.c.reason == MissingFromAnswerError.lookup_reason
        return and_(self.table.c.status == "failed", reason)

    def _lost(self, now: datetime) -> ColumnElement[bool]:
        """Perhaps paid for, and nobody will learn any more what: left out, or a claim that nobody settled."""
        open_claim = or_(self.table.c.status == REQUESTED, self.table.c.status == PENDING)
        return or_(self._left_out(), and_(open_claim, ~self._elsewhere(now)))

    def _held(self, now: datetime) -> ColumnElement[bool]:
        """What may have been paid for without an answer, where the user said to hold those."""
        if not self._hold:
            return false()
        return or_(self.table.c.status == "in_doubt", self._lost(now))


def release_doubts(engine: Engine, kind: Kind, schema: str | None) -> int:
    """Let all numbers in doubt be asked about again.

    :return: how many they were.
    """
    table = ledger_table(kind, schema)
    with writing(engine) as connection:
        released = connection.execute(
            table.update().where(table.c.status == "in_doubt").values(status="failed", reason="released")
        )
        return released.rowcount
