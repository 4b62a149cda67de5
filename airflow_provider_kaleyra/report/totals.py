"""A ledger's totals as text and as JSON. Pure, and no number leaves it whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from airflow_provider_kaleyra.enrichment.kinds import Kind
from airflow_provider_kaleyra.phone import mask_text
from airflow_provider_kaleyra.report.aggregates import Total

Totals = Mapping[str, Sequence[Total]]
"""By what numbers are grouped: all of them each time."""


def as_text(kind: Kind, found: Totals) -> str:
    """Give aligned tables, one for each grouping, each with a last line for all."""
    told = "Each number counts, with all its purchases, where it was last asked about. Days are UTC."
    tables = [_table(by, [*totals, _all(totals)], _is_priced(kind)) for by, totals in found.items()]
    return "\n\n".join([kind.ledger, *tables, told])


def as_json(kind: Kind, found: Totals) -> str:
    """Give an object with a list for each grouping; amounts are decimal text."""

    def described(total: Total) -> dict[str, Any]:
        spent = {"spent": format(total.spent.normalize(), "f")} if _is_priced(kind) else {}
        return {"numbers": total.numbers, "purchases": total.purchases, **spent}

    groups = {by: [{by: _label(one), **described(one)} for one in totals] for by, totals in found.items()}
    total = described(_all(next(iter(found.values()))))
    return json.dumps({"ledger": kind.ledger, **groups, "all": total}, indent=2)


def _table(by: str, totals: Sequence[Total], priced: bool) -> str:
    lines = [(by, "numbers", "purchases", "spent")]
    lines += [
        (_label(one) or "-", f"{one.numbers:,}", f"{one.purchases:,}", f"{one.spent:,.4f}") for one in totals
    ]
    shown = [line if priced else line[:-1] for line in lines]
    first, *others = (max(map(len, column)) for column in zip(*shown, strict=True))
    return "\n".join(
        "  ".join([label.ljust(first), *(cell.rjust(w) for cell, w in zip(cells, others, strict=True))])
        for label, *cells in shown
    )


def _is_priced(kind: Kind) -> bool:
    # RCS answers name no price.
    return kind.name == "number"


def _label(total: Total) -> str | None:
    return None if total.label is None else mask_text(total.label)


def _all(totals: Sequence[Total]) -> Total:
    return Total(
        "all",
        sum(one.numbers for one in totals),
        sum(one.purchases for one in totals),
        sum((one.spent for one in totals), Decimal(0)),
    )
