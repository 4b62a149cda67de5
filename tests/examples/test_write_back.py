"""The contact table's own columns are filled, and nothing else of it is touched."""

from __future__ import annotations

from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from tests.support.databases import Database
from tests.support.examples import run_example
from tests.support.numbers import numbers, spelled

ONE, TWO = numbers(2)


def filled(database: Database) -> list[tuple[bool | None, str | None]]:
    rows = database.rows("SELECT rcs, carrier FROM contacts ORDER BY id")
    return [(row["rcs"], row["carrier"]) for row in rows]


def known(number: str) -> tuple[bool | None, str | None]:
    return subscriber(number).rcs_enabled, subscriber(number).current.name


def test_every_row_with_a_number_is_filled_however_it_is_spelled(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts([ONE, spelled(ONE), TWO, "n/a"])

    run_example("write_back")

    assert filled(database) == [known(ONE), known(ONE), known(TWO), (None, None)]
    assert [row["note"] for row in database.rows("SELECT note FROM contacts")] == ["mine"] * 4


def test_a_new_contact_with_a_known_number_is_filled_and_nothing_is_bought(
    sandbox: Sandbox, database: Database
) -> None:
    database.contacts([ONE])
    run_example("write_back")
    bought = sandbox.account.purchases
    rows = [{"id": 2, "phone": ONE}, {"id": 3, "phone": spelled(ONE)}]
    database.execute("INSERT INTO contacts (id, phone) VALUES (:id, :phone)", rows)

    run_example("write_back")

    assert filled(database) == [known(ONE)] * 3
    assert sandbox.account.purchases == bought
