"""What a run came to, read from the database that it filed in. No phone number is kept whole."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from airflow_provider_kaleyra.demo.folder import Folder
from airflow_provider_kaleyra.phone import mask
from airflow_provider_kaleyra.sandbox import Account


@dataclass(frozen=True)
class Contact:
    """One contact, enriched; its number is masked."""

    name: str
    number: str
    reason: str
    country: str
    carrier: str
    ported: bool | None
    rcs: bool | None
    status: str


@dataclass(frozen=True)
class Country:
    """The numbers of one country, each counted once."""

    country: str
    numbers: int
    rcs: int
    ported: int


@dataclass(frozen=True)
class Findings:
    """Counts are of distinct numbers, those in ``no_answer`` and ``texts`` of different texts, and those in
    ``contacts`` and ``invalid`` of contacts. ``summaries`` are the tasks' own.
    """

    database: Path
    log: Path
    airflow: str
    contacts: int
    texts: int
    numbers: int
    summaries: dict[str, dict[str, Any]]
    bought: dict[str, int]
    most_often_bought: int
    charged: str
    spent_ever: str
    rcs: dict[str, int]
    ported: dict[str, int]
    invalid: dict[str, int]
    countries: list[Country]
    sample: list[Contact]

    @property
    def asked(self) -> int:
        """How many lookups this run bought or tried to buy."""
        return sum(int(summary["asked"]) for summary in self.summaries.values())

    @property
    def reused(self) -> int:
        """How many contacts' answers were in the ledger."""
        return min(int(summary["reused"]) for summary in self.summaries.values())

    def as_dict(self) -> dict[str, Any]:
        """Give JSON values."""
        return {**asdict(self), "database": str(self.database), "log": str(self.log)}


def find(folder: Folder, account: Account) -> Findings:
    """Read the database, the tasks' summaries and the sandbox's account."""
    report = json.loads(folder.report.read_text(encoding="utf-8"))
    purchases = account.purchases
    with closing(sqlite3.connect(f"{folder.database.as_uri()}?mode=ro", uri=True)) as database:

        def one(sql: str) -> Any:
            return database.execute(sql).fetchone()[0]

        def counts(sql: str) -> dict[str, int]:
            return dict(database.execute(sql).fetchall())

        return Findings(
            database=folder.database,
            log=folder.log,
            airflow=report["airflow"],
            contacts=one("SELECT count(*) FROM contacts"),
            texts=one("SELECT count(DISTINCT coalesce(phone, '')) FROM contacts"),
            numbers=one("SELECT count(DISTINCT phone_number) FROM contacts_enriched"),
            summaries={name: task["summary"] for name, task in report["tasks"].items() if task["summary"]},
            bought={api: counter.total() for api, counter in purchases.items()},
            most_often_bought=max((n for counter in purchases.values() for n in counter.values()), default=0),
            charged=format(account.charged, "f"),
            spent_ever=f"{one(_SPENT):.10g}",
            rcs=counts(_RCS),
            ported=counts(_PORTED),
            invalid=counts(_INVALID),
            countries=[Country(*row) for row in database.execute(_COUNTRIES)],
            sample=[_contact(*row) for row in database.execute(_SAMPLE)],
        )


def _contact(
    name: str,
    number: str | None,
    reason: str | None,
    country: str | None,
    carrier: str | None,
    ported: int | None,
    rcs: int | None,
    status: str | None,
) -> Contact:
    return Contact(
        name=name,
        number=mask(number) if number else "",
        reason=reason or "",
        country=country or "",
        carrier=carrier or "",
        ported=None if ported is None else bool(ported),
        rcs=None if rcs is None else bool(rcs),
        status=status or "",
    )


_SPENT = "SELECT coalesce(sum(spent), 0) FROM kaleyra_number_ledger"
_RCS = """
SELECT CASE WHEN status <> 'ok' THEN 'no_answer' WHEN rcs_enabled THEN 'yes' WHEN rcs_enabled IS NULL
       THEN 'unknown' ELSE 'no' END, count(DISTINCT phone_number)
FROM contacts_rcs WHERE phone_number IS NOT NULL AND status <> 'invalid' GROUP BY 1
"""
_PORTED = """
SELECT CASE WHEN is_ported THEN 'yes' WHEN is_ported IS NULL THEN 'unknown' ELSE 'no' END,
       count(DISTINCT phone_number)
FROM contacts_numbers WHERE status = 'ok' GROUP BY 1
"""
_INVALID = """
SELECT reason, count(*) FROM contacts_enriched WHERE status = 'invalid' GROUP BY 1 ORDER BY 2 DESC, 1
"""
_COUNTRIES = """
SELECT coalesce(country, ''), count(DISTINCT phone_number),
       count(DISTINCT CASE WHEN rcs_enabled THEN phone_number END),
       count(DISTINCT CASE WHEN is_ported THEN phone_number END)
FROM contacts_enriched WHERE status = 'ok' GROUP BY 1 ORDER BY coalesce(country, 'ZZ') = 'ZZ', 2 DESC, 1
"""
_SAMPLE = """
SELECT first_name || ' ' || last_name, phone_number, reason, country, carrier, is_ported, rcs_enabled, status
FROM contacts_enriched ORDER BY id LIMIT 10
"""
