"""The two APIs, as the pipeline sees them: what each answers, and the ledger that remembers its answers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from typing import Any

from airflow_provider_kaleyra.api.models import DeviceLookup, Lookup, NumberLookup

OUTCOME_COLUMNS = ("status", "reason", "run_id", "asked_at", "answered_at", "response_code", "error_message")
"""What every outcome has: what came of asking, who asked, and when."""

ANSWERED = ("ok", "invalid")
"""The statuses of outcomes that say something of the number, rather than of the asking."""


@dataclass(frozen=True)
class Kind:
    """One of the two APIs."""

    name: str
    lookup: type[Lookup]
    ledger: str

    @cached_property
    def answer_types(self) -> dict[str, str]:
        """The columns that an answer of this API has, each with ``bool``, ``int`` or ``str``."""
        common = {field.name for field in fields(Lookup)} | {"price"}
        return {
            field.name: str(field.type).split(" ")[0]
            for field in fields(self.lookup)
            if field.name not in common
        }

    @cached_property
    def _learnt(self) -> tuple[tuple[str, ...], attrgetter[Any]]:
        names = ("phone_number", "status", "reason", "response_code", "error_message", *self.answer_types)
        return names, attrgetter(*names)

    def learnt(self, lookup: Lookup) -> dict[str, Any]:
        """Give what an answer says, by column."""
        names, values = self._learnt
        return dict(zip(names, values(lookup), strict=True))

    def kept(self, status: str) -> frozenset[str]:
        """Give the columns that an outcome of this status leaves as an earlier answer had them."""
        if status in ANSWERED:
            return frozenset()
        kept = frozenset({"answered_at", *self.answer_types})
        return kept - {"lookup_id"} if status == "pending" else kept

    @property
    def result_columns(self) -> tuple[str, ...]:
        """The columns of a result table, in order."""
        return ("raw_number", "phone_number", *OUTCOME_COLUMNS, *self.answer_types)


RCS = Kind("rcs", DeviceLookup, "kaleyra_rcs_ledger")
NUMBER = Kind("number", NumberLookup, "kaleyra_number_ledger")
