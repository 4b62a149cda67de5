"""What a long run says of itself."""

from __future__ import annotations

import logging
from decimal import Decimal
from types import SimpleNamespace

import pytest

from airflow_provider_kaleyra.enrichment import progress
from airflow_provider_kaleyra.enrichment.progress import Progress, told
from airflow_provider_kaleyra.enrichment.summary import Summary
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.sandbox import Sandbox
from tests.support.airflow_runs import Said, run_task
from tests.support.databases import Database
from tests.support.numbers import numbers


def test_progress_tells_how_far_how_fast_what_it_cost_and_when_it_ends() -> None:
    summary = Summary(asked=18_000, requests=180, price=Decimal("90.00"))
    summary.buckets.update(ok=18_000, reused=1_000, invalid=1_000)

    assert told(summary, 200_000, 40) == (
        "20,000 of 200,000 inputs done, 500 a second; asked about 18,000 numbers in 180 requests for 90; "
        "about 6 minutes left"
    )


@pytest.mark.parametrize(("done", "total"), [(0, 10), (10, 10), (0, 0)])
def test_progress_names_no_end_that_nobody_knows_or_that_has_come(done: int, total: int) -> None:
    summary = Summary()
    summary.buckets.update(ok=done)

    assert "left" not in told(summary, total, 5)


def test_a_run_reports_every_ten_seconds_and_counts_its_inputs_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now))
    counted = []
    reports = Progress(Summary(started=0.0), lambda: counted.append(1) or 7, lambda: 3)

    with caplog.at_level(logging.INFO, logger=progress.__name__):
        for tenth in range(350):
            now = tenth / 10
            reports.report()

    assert len(caplog.records) == 3
    assert len(counted) == 1


def test_a_long_run_says_how_far_it_is(
    sandbox: Sandbox, database: Database, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    database.contacts(numbers(30))

    run_task(
        NumberLookupOperator,
        sql_conn_id="warehouse",
        source_table="contacts",
        number_column="phone",
        result_table="filed",
        batch_size=10,
        max_workers=1,
    )

    assert "10 of 30 inputs done" in said()


def test_a_short_run_says_only_what_it_came_to(sandbox: Sandbox, said: Said) -> None:
    run_task(NumberLookupOperator, numbers=numbers(3))

    assert "inputs done" not in said()
    assert "3 inputs, 3 distinct numbers" in said()
