"""The example that `kaleyra-demo` runs: incremental enrichment, day by day. The demo's own tests say more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_kaleyra.demo.folder import CONTACTS
from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from tests.support.databases import Database
from tests.support.examples import run_example
from tests.support.numbers import numbers, spelled

ONE, TWO, THREE, NEW = numbers(4)
PHONES = [ONE, spelled(ONE), TWO, THREE, "n/a"]


@pytest.fixture
def contacts(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", database.airflow_connection)
    database.execute(CONTACTS)
    add(database, *PHONES)
    return database


def add(database: Database, *phones: str) -> None:
    (known,) = database.rows("SELECT count(*) AS n FROM contacts")
    rows = [{"id": known["n"] + n, "phone": phone} for n, phone in enumerate(phones, 1)]
    database.execute("INSERT INTO contacts (id, phone) VALUES (:id, :phone)", rows)


def asked() -> dict[str, int]:
    """Run the example; give how many numbers each of its tasks asked about."""
    return {name: run.summary["asked"] for name, run in run_example("enrich_contacts").items() if run.summary}


def test_the_first_run_asks_about_each_number_once_and_the_next_about_what_is_new(
    sandbox: Sandbox, contacts: Database
) -> None:
    assert asked() == {"rcs": 3, "numbers": 3}
    charged = sandbox.account.charged
    assert asked() == {"rcs": 0, "numbers": 0}
    assert sandbox.account.charged == charged

    add(contacts, NEW, spelled(TWO))
    assert asked() == {"rcs": 1, "numbers": 1}
    for bought in sandbox.account.purchases.values():
        assert bought == dict.fromkeys([ONE, TWO, THREE, NEW], 1)


def test_an_answer_older_than_max_age_is_asked_for_again(sandbox: Sandbox, contacts: Database) -> None:
    asked()
    # Two months: the reach is asked about after one, the carrier after three.
    old = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=60)
    for table in ("contacts_rcs", "contacts_numbers", "kaleyra_rcs_ledger", "kaleyra_number_ledger"):
        contacts.execute(
            f"UPDATE {table} SET asked_at = :old, answered_at = :old WHERE phone_number = :one",
            {"old": old, "one": ONE},
        )

    assert asked() == {"rcs": 1, "numbers": 0}


def test_the_view_has_a_row_for_each_contact_with_both_answers(sandbox: Sandbox, contacts: Database) -> None:
    run_example("enrich_contacts")

    rows = contacts.rows("SELECT phone_number, carrier, rcs_enabled FROM contacts_enriched ORDER BY id")
    people = [subscriber(number) for number in (ONE, ONE, TWO, THREE)]
    assert [tuple(row.values()) for row in rows] == [
        *((person.number, person.current.name, person.rcs_enabled) for person in people),
        (None, None, None),
    ]
