"""The two APIs, as the pipeline sees them: what each answers, and the ledger that remembers its answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from operator import attrgetter
from typing import Any

from airflow_provider_kaleyra.api.models import DeviceLookup, Lookup, NumberLookup

OUTCOME_COLUMNS = ("status", "reason", "run_id", "asked_at", "answered_at", "response_code", "error_message")
"""What every outcome has: what came of asking, who asked, and when."""

ANSWERED = ("ok", "invalid")
"""The statuses of outcomes that say something of the number, rather than of the asking."""


ALWAYS_FILED = frozenset({"lookup_id"})
"""Columns of an answer that nobody can leave out: a pending row is found by its id."""


@dataclass(frozen=True)
class Kind:
    """One of the two APIs.

    :param left_out: columns of its answers that this run files nowhere.
    """

    name: str
    lookup: type[Lookup]
    ledger: str
    left_out: frozenset[str] = frozenset()

    def only(self, columns: Collection[str] | None) -> Kind:
        """Leave out the answer's columns that are not among these; ``None`` leaves out nothing."""
        if columns is None:
            return self
        return replace(self, left_out=self.left_out | (self.answer_types.keys() - columns - ALWAYS_FILED))

    @property
    def whole(self) -> Kind:
        """The same API with nothing left out."""
        return replace(self, left_out=frozenset())

    @cached_property
    def answer_types(self) -> dict[str, str]:
        """The columns that an answer of this API has, each with ``bool``, ``int`` or ``str``.

        A ledger has them all, whatever is left out, since tasks share it.
        """
        common = {field.name for field in fields(Lookup)} | {"price"}
        return {
            field.name: str(field.type).split(" ")[0]
            for field in fields(self.lookup)
            if field.name not in common
        }

    @cached_property
    def filed_types(self) -> dict[str, str]:
        """Those of them that are not left out."""
        return {name: kind for name, kind in self.answer_types.items() if name not in self.left_out}

    @cached_property
    def _learnt(self) -> tuple[tuple[str, ...], attrgetter[Any]]:
        names = ("phone_number", "status", "reason", "response_code", "error_message", *self.answer_types)
        return names, attrgetter(*names)

    def learnt(self, lookup: Lookup) -> dict[str, Any]:
        """Give what an answer says, by column; what is left out is ``None``."""
        names, values = self._learnt
        learnt = dict(zip(names, values(lookup), strict=True))
        learnt.update(dict.fromkeys(self.left_out))
        return learnt

    def filed(self, outcome: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give an outcome without the columns that are left out."""
        if not self.left_out:
            return outcome
        return {name: value for name, value in outcome.items() if name not in self.left_out}

    def kept(self, status: str) -> frozenset[str]:
        """Give the columns that an outcome of this status leaves as an earlier answer had them."""
        if status in ANSWERED:
            return frozenset()
        kept = frozenset({"answered_at", *self.filed_types})
        return kept - {"lookup_id"} if status == "pending" else kept

    @property
    def result_columns(self) -> tuple[str, ...]:
        """The columns of a result table, in order."""
        return ("raw_number", "phone_number", *OUTCOME_COLUMNS, *self.filed_types)


RCS = Kind("rcs", DeviceLookup, "kaleyra_rcs_ledger")
NUMBER = Kind("number", NumberLookup, "kaleyra_number_ledger")
