"""Which rows of a source table have their outcome already: told in SQL, so that they need not be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, Enum, Integer, String, Table, and_, cast
from sqlalchemy.sql import ColumnElement, FromClause

from airflow_provider_kaleyra.enrichment.ledger import Ledger


@dataclass(frozen=True)
class Fresh:
    """The outcomes that stand, as a join of result table and ledger.

    An outcome stands for a row if it is in the result table as the ledger has it, young enough, and written
    back. Only text that begins with ``+`` counts: what other text means depends on settings that may change.
    """

    result: Table
    ledger: Ledger
    write_back: Mapping[str, str]

    @property
    def outcomes(self) -> FromClause:
        """The join."""
        ledger = self.ledger.table
        return self.result.join(ledger, self.result.c.phone_number == ledger.c.phone_number)

    def stands_for(
        self, source: FromClause, number: ColumnElement[Any], connection: Any
    ) -> ColumnElement[bool]:
        """Tell which row of the join is the outcome of a row of the source."""
        result, ledger = self.result.c, self.ledger.table.c
        return and_(
            result.raw_number == number,
            result.raw_number.startswith("+"),
            result.status == ledger.status,
            result.answered_at == ledger.answered_at,
            self.ledger.reusable(connection),
            *(
                source.c[column].is_not_distinct_from(cast(result[field], source.c[column].type))
                for column, field in self.write_back.items()
            ),
        )


def can_compare(source: Table, number: ColumnElement[Any], fresh: Fresh) -> bool:
    """Tell whether every database can compare the columns in question: text with text, and so on."""
    written = [
        (source.c[column].type, fresh.result.c[field].type) for column, field in fresh.write_back.items()
    ]
    return _is_text(number.type) and all(
        (_is_text(theirs) and _is_text(ours))
        or any(isinstance(theirs, kind) and isinstance(ours, kind) for kind in (Boolean, Integer))
        for theirs, ours in written
    )


def _is_text(kind: Any) -> bool:
    # SQLAlchemy 1.4 wraps a type that is another one on some databases.
    return isinstance(getattr(kind, "impl", kind), String) and not isinstance(kind, Enum)
