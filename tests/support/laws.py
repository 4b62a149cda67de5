"""What must hold of an account, a ledger and a result table when tasks were killed and tried again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Rows = Mapping[str, Mapping[str, Any]]
"""Rows of a ledger by their number."""


def by_number(rows: Collection[Mapping[str, Any]]) -> Rows:
    return {row["phone_number"]: row for row in rows}


@dataclass
class Aftermath:
    """What is left behind.

    :param in_doubt: the tasks' setting.
    :param bought: how often the account says that each number was bought.
    :param before: the ledger's rows as the killed tries left them.
    :param after: the ledger's rows in the end.
    :param filed: the result table in the end.
    :param price: of one lookup, if it has one.
    """

    in_doubt: str
    bought: Counter[str]
    before: Rows
    after: Rows
    filed: Collection[Mapping[str, Any]]
    price: Decimal | None = None

    @property
    def doubtful(self) -> set[str]:
        """The numbers whose claim stood open when a try was killed."""
        return {number for number, row in self.before.items() if row["status"] == "requested"}

    def obeys_the_laws(self, phones: Collection[str], spellings: Collection[str]) -> None:
        """Nothing that was paid for and received is lost, and nothing is bought twice unseen."""
        bought, after = self.bought, self.after
        assert {row["raw_number"] for row in self.filed} == set(spellings)
        assert set(bought) <= set(after) == set(phones)
        assert all(after[number]["purchases"] >= count for number, count in bought.items())
        for number, row in self.before.items():
            if row["status"] == "ok":
                assert after[number]["status"] == "ok"
                assert after[number]["answered_at"] == row["answered_at"]
        statuses = {row["status"] for row in self.filed}
        if self.in_doubt == "hold":
            assert set(bought.values()) <= {1}
            assert {number for number, row in after.items() if row["status"] == "in_doubt"} == self.doubtful
            assert statuses <= {"ok", "invalid", "in_doubt"}
        else:
            assert {number for number, count in bought.items() if count > 1} <= self.doubtful
            assert statuses <= {"ok", "invalid"}
        self._adds_up()

    def _adds_up(self) -> None:
        """What was spent is what the account charged, but for the answers that were lost with a try."""
        answered = Counter(number for number, row in self.after.items() if row["status"] == "ok")
        assert not answered - self.bought
        assert set(self.bought - answered) <= self.doubtful
        if self.price is not None:
            spent = sum(Decimal(str(row["spent"])) for row in self.after.values())
            assert spent == self.price * answered.total()
