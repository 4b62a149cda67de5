"""What a task without a ledger remembers over its tries: answers, in Airflow's task state store."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any, Protocol

from airflow_provider_kaleyra.enrichment.kinds import ANSWERED
from airflow_provider_kaleyra.enrichment.ledger import PENDING
from airflow_provider_kaleyra.enrichment.memory import Claimed, Known, Settled
from airflow_provider_kaleyra.phone import mask_text

log = logging.getLogger(__name__)

KEY = "kaleyra_outcomes_{}"
KEPT = (*ANSWERED, PENDING)
LARGEST = 60_000
"""Bytes of JSON in one piece; Airflow warns of values over 65,535."""


class Store(Protocol):
    """Airflow's task state store, kept over the tries of a task (3.3 and later)."""

    def get(self, key: str) -> Any:
        """Give a value, or ``None``."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        ...

    def delete(self, key: str) -> None:
        """Forget a value."""
        ...


class Checkpoints:
    """Answers of this task's earlier tries. Without a store nothing is remembered.

    :param store: the task state store, if this Airflow has one.
    :param ending: whether the run is only brought to its end: all that it has settled stands.
    """

    def __init__(self, store: Store | None, *, ending: bool = False) -> None:
        self._store = store
        self.ending = ending
        self._answers: dict[str, Mapping[str, Any]] = {}
        self._pieces = 0
        self._size = 0
        self._told = False
        # Who cannot tell what is paid for already buys nothing: a store that is out of reach now is raised.
        while store is not None and (piece := store.get(KEY.format(self._pieces))):
            self._answers |= {row["phone_number"]: row for row in piece}
            self._pieces += 1
        # What the store does not have yet, by the number of the piece: the newest, which still grows, and
        # those before it that it did not take.
        self._unkept: dict[int, list[Mapping[str, Any]]] = {self._pieces: []}

    def reading(self) -> AbstractContextManager[None]:
        """Open nothing."""
        return nullcontext()

    def writing(self) -> AbstractContextManager[None]:
        """Open nothing."""
        return nullcontext()

    def known(self, connection: None, numbers: Collection[str]) -> dict[str, Known]:  # noqa: ARG002
        """Look up what an earlier try was answered."""
        return {
            number: Known(
                row,
                reusable=row["status"] in ANSWERED,
                this_try=self.ending,
                held=False,
                pending=row["status"] == PENDING,
                elsewhere=False,
            )
            for number in numbers
            if (row := self._answers.get(number)) and (self.ending or row["status"] in KEPT)
        }

    def claim(self, connection: None, numbers: Collection[str]) -> list[Claimed]:  # noqa: ARG002
        """Claim all: nobody else knows of them."""
        now, started = datetime.now(UTC), time.monotonic()
        return [Claimed(number, None, now, started) for number in numbers]

    def bought(self, connection: None) -> tuple[int, int, Decimal]:  # noqa: ARG002
        """Count the numbers that earlier tries have bought; those that are answered; and what they cost."""
        rows = [row for row in self._answers.values() if row["status"] in KEPT]
        answered = sum(row["status"] in ANSWERED for row in rows)
        return len(rows), answered, sum((Decimal(row.get("price") or 0) for row in rows), Decimal(0))

    def doubt(self, connection: None, numbers: Collection[str]) -> None:
        """Remember nothing: only answers are kept."""

    def settle(self, connection: None, settled: Sequence[Settled]) -> None:  # noqa: ARG002
        """Remember outcomes, and keep answers and ids."""
        self.remember({**item.outcome, "price": format(item.price, "f")} for item in settled)

    def recall(self, outcomes: Iterable[Mapping[str, Any]]) -> None:
        """Take note of outcomes that are kept elsewhere."""
        self._answers |= {row["phone_number"]: row for row in outcomes}

    def remember(self, outcomes: Iterable[Mapping[str, Any]]) -> None:
        """Take note of outcomes; answers and ids go to the newest piece of the store, or begin the next."""
        for outcome in outcomes:
            row = {name: _jsonable(value) for name, value in outcome.items()}
            self._answers[row["phone_number"]] = row
            if self._store is None or row["status"] not in KEPT:
                continue
            size = len(json.dumps(row)) + 2
            if self._size and self._size + size > LARGEST:
                self._pieces += 1
                self._unkept[self._pieces], self._size = [], 0
            self._unkept[self._pieces].append(row)
            self._size += size
        self._keep()

    def release(self, connection: None, claims: Sequence[Claimed]) -> None:
        """Take back nothing: claims are not kept."""

    def end(self) -> None:
        """Forget all: the outcomes are the task's XCom now, and a cleared task shall ask anew."""
        if self._store is not None:
            for number in range(self._pieces + bool(self._size)):
                if not self._done(partial(self._store.delete, KEY.format(number))):
                    return

    def _keep(self) -> None:
        if self._store is None:
            return
        for number, piece in list(self._unkept.items()):
            # In their order: the next try reads up to the first gap.
            if not piece or not self._done(partial(self._store.set, KEY.format(number), piece)):
                return
            if number < self._pieces:
                del self._unkept[number]

    def _done(self, act: Callable[[], None]) -> bool:
        """Tell whether the store did it. If not, the run goes on: it can still give what it has paid for."""
        try:
            act()
        except Exception as error:
            if not self._told:
                log.warning(
                    "Airflow's task state store fails. A retry may have to ask again about numbers that were "
                    "answered meanwhile: %s: %s",
                    type(error).__name__,
                    mask_text(str(error)),
                )
            self._told = True
            return False
        return True


def _jsonable(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
