"""Upserts on every database, with the columns and rows that are nobody else's business left alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Engine, create_engine

from airflow_provider_kaleyra.enrichment.database import engine_of
from airflow_provider_kaleyra.enrichment.kinds import NUMBER
from airflow_provider_kaleyra.enrichment.tables import ensure, ledger_table, reading, writing
from airflow_provider_kaleyra.enrichment.upsert import insert_missing, upsert
from tests.support.databases import Database

LEDGER = ledger_table(NUMBER, None)
THEN = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
ROW = {
    "phone_number": "+15550100",
    "status": "ok",
    "asked_at": THEN,
    "is_ported": False,
    "country_code": 1,
    "current_mnc": "004",
    "current_operator": 'O\'Ünïon "%s" :x \\ 📞',
    "purchases": 1,
    "spent": Decimal("0.0000000001"),
}


class Strange(SQLiteDialect_pysqlite):
    """A database whose upsert nobody has told us of."""

    name = "strange"
    supports_statement_cache = True


registry.register("strange", __name__, "Strange")


@pytest.fixture(params=["known", "strange"])
def engine(request: pytest.FixtureRequest, database: Database) -> Iterator[Engine]:
    if request.param == "known":
        made = engine_of("warehouse")
    elif database.name == "sqlite":
        made = create_engine(f"strange:///{database.engine.url.database}", future=True)
    else:
        pytest.skip("one strange database is enough")
    ensure(made, LEDGER)
    yield made
    made.dispose()


def put(engine: Engine, *rows: dict[str, Any], columns: tuple[str, ...] = tuple(ROW)[1:]) -> None:
    with writing(engine) as connection:
        upsert(connection, LEDGER, rows, columns=columns)


def found(engine: Engine) -> list[dict[str, Any]]:
    with reading(engine) as connection:
        rows = connection.execute(LEDGER.select().order_by(LEDGER.c.phone_number))
        return [{name: row._mapping[name] for name in ROW} for row in rows]


def test_what_goes_in_comes_out_to_the_microsecond_the_digit_and_the_letter(engine: Engine) -> None:
    put(engine, ROW, {**dict.fromkeys(ROW), "phone_number": "+2", "status": "", "purchases": 0, "spent": 0})

    first, second = found(engine)
    assert first == ROW
    assert [name for name, value in second.items() if value is None] == [
        name for name in ROW if name not in ("phone_number", "status", "purchases", "spent")
    ]


def test_of_a_row_that_is_there_only_the_named_columns_change(engine: Engine) -> None:
    put(engine, ROW)
    put(
        engine,
        {**ROW, "status": "failed", "country_code": 7, "purchases": 2},
        columns=("status", "purchases"),
    )

    assert found(engine) == [{**ROW, "status": "failed", "purchases": 2}]


def test_rows_that_are_there_and_rows_that_are_not_go_together(engine: Engine) -> None:
    rows = [{**ROW, "phone_number": f"+{n}"} for n in range(1000, 3500)]
    put(engine, *rows[::2])
    put(engine, *({**row, "status": "invalid"} for row in rows))

    assert {row["status"] for row in found(engine)} == {"invalid"}
    assert len(found(engine)) == 2500


def test_a_row_that_is_missing_is_inserted_and_one_that_is_there_stays_as_it_is(engine: Engine) -> None:
    put(engine, ROW)
    with writing(engine) as connection:
        insert_missing(
            connection,
            LEDGER,
            [str(ROW["phone_number"]), "+2"],
            {"status": "requested", "asked_at": THEN, "purchases": 5, "spent": Decimal(0)},
        )

    assert [(row["phone_number"], row["status"], row["purchases"]) for row in found(engine)] == [
        ("+15550100", "ok", 1),
        ("+2", "requested", 5),
    ]
