"""The two APIs, as the pipeline sees them: what each answers, and the ledger that remembers its answers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

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

    @property
    def result_columns(self) -> tuple[str, ...]:
        """The columns of a result table, in order."""
        return ("raw_number", "phone_number", *OUTCOME_COLUMNS, *self.answer_types)


RCS = Kind("rcs", DeviceLookup, "kaleyra_rcs_ledger")
NUMBER = Kind("number", NumberLookup, "kaleyra_number_ledger")
