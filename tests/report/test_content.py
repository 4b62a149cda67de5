"""What the report says of counts, without a database."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_kaleyra import errors
from airflow_provider_kaleyra.phone import REASONS
from airflow_provider_kaleyra.report.advice import advice, release_command
from airflow_provider_kaleyra.report.aggregates import Books, Day, Outcome, Results, Split
from airflow_provider_kaleyra.report.content import MOST_BARS, Chart, Filed, Report, report
from tests.support.numbers import numbers

RCS = Filed("rcs", "warehouse", "contacts_rcs")
NUMBER = Filed("number", "warehouse", "crm.contacts_numbers")
SUMMARY = {"inputs": 1200, "asked": 900, "price": "4.50", "ok": 850, "in_doubt": 7, "seconds": 3.21}


def said(
    filed: Filed,
    *outcomes: Outcome,
    carriers: list[Split] | None = None,
    countries: list[Split] | None = None,
) -> Report:
    return report(filed, SUMMARY, Results(outcomes, carriers or [], countries or []), None)


def chart(made: Report, title: str) -> Chart:
    (found,) = [each for each in made.charts if each.title == title]
    return found


def bars(made: Chart) -> dict[str, str]:
    return {bar.label: bar.note for bar in made.bars}


def books(**changes: Any) -> Books:
    made: dict[str, Any] = {
        "outcomes": [],
        "days": [],
        "numbers": 0,
        "lookups": 0,
        "spent": Decimal(0),
        "bought_again": 0,
    }
    return Books(**{**made, **changes})


def test_the_summarys_counts_are_shown_and_what_is_in_doubt_stands_out() -> None:
    figures = {each.label: each for each in report(NUMBER, SUMMARY, None, None).figures}

    assert figures["inputs"].value == "1,200"
    assert figures["price"].value == "4.5"
    assert figures["seconds"].value == "3.2"
    assert figures["failed"].value == "0"
    assert [label for label, each in figures.items() if each.tone] == ["in doubt"]


def test_no_price_is_shown_for_rcs_whose_answers_name_none() -> None:
    figures = {each.label: each.value for each in report(RCS, SUMMARY, None, books()).figures}

    assert figures["price"] == "not told"


@pytest.mark.parametrize("reason", [*REASONS, "refused_by_service"])
def test_every_reason_for_being_invalid_has_its_advice(reason: str) -> None:
    told = advice("invalid", reason, release="…")

    assert told.endswith(".")
    assert len(told.split()) > 4
    assert REASONS.get(reason, "") in told


def test_a_number_without_a_country_code_leads_to_default_region() -> None:
    assert "default_region" in advice("invalid", "no_country_code", release="…")


def _reasons(kind: type[errors.KaleyraError] = errors.KaleyraError) -> set[str]:
    return {kind.lookup_reason}.union(*(_reasons(each) for each in kind.__subclasses__()))


@pytest.mark.parametrize("reason", sorted(_reasons()))
def test_every_reason_for_having_failed_has_its_advice(reason: str) -> None:
    told = advice("failed", reason, release="…")

    assert told.endswith("The next run asks again.")
    if reason in ("nothing_sent", "rate_limited", "service_error", "missing_from_answer", "bad_request"):
        assert len(told.split()) > 8


def test_what_is_in_doubt_leads_to_the_command_that_releases_it() -> None:
    (line,) = said(NUMBER, Outcome("in_doubt", "no_answer", 100, 100)).lines

    assert line.advice.endswith("kaleyra-ledger release --api number --conn-id warehouse --schema crm")


def test_the_command_names_no_schema_where_there_is_none() -> None:
    assert release_command("rcs", "warehouse", None) == "kaleyra-ledger release --api rcs --conn-id warehouse"


def test_open_claims_of_the_ledger_are_shown_apart() -> None:
    outcomes = [Outcome("ok", None, 9, 9), Outcome("requested", None, 3, 0), Outcome("in_doubt", "x", 2, 2)]
    made = report(NUMBER, SUMMARY, None, books(outcomes=outcomes))

    assert [(line.status, line.rows) for line in made.doubts] == [("requested", 3), ("in_doubt", 2)]


def test_reach_is_shown_for_each_carrier_the_largest_first() -> None:
    made = said(RCS, carriers=[Split("Jio", 5, 5, 0), Split("Airtel", 30, 9, 1)])
    reach = chart(made, "RCS reach by carrier")

    assert bars(reach) == {"Airtel": "30 of 40", "Jio": "5 of 10"}
    assert [bar.value for bar in reach.bars] == ["75%", "50%"]
    assert reach.bars[0].parts == (0.75, 0.225, 0.025)
    assert reach.note == "70% of 50 answered rows are reachable by RCS."


def test_many_carriers_are_added_up_at_the_end() -> None:
    carriers = [Split(f"Carrier {n}", 100 - n, 0, 0) for n in range(40)]
    shown = chart(said(RCS, carriers=carriers), "RCS reach by carrier").bars

    assert len(shown) == MOST_BARS
    assert shown[-1].label == "29 others"
    assert (
        shown[-1].note
        == f"{sum(100 - n for n in range(11, 40)):,} of {sum(100 - n for n in range(11, 40)):,}"
    )


def test_reach_by_country_goes_by_the_calling_code_of_any_length() -> None:
    prefixes = ["+919", "+918", "+971", "+141", "+358", "+999", None]
    made = said(RCS, countries=[Split(prefix, 1, 0, 0) for prefix in prefixes])

    assert bars(chart(made, "RCS reach by country")) == {
        "+91 IN": "2 of 2",
        "+971 AE": "1 of 1",
        "+1 US and others": "1 of 1",
        "+358 FI and others": "1 of 1",
        "unknown": "2 of 2",
    }


def test_a_number_lookup_shows_the_ported_share() -> None:
    made = said(NUMBER, countries=[Split("IN", 15, 85, 0)], carriers=[Split("Airtel // Delhi", 1, 3, 0)])

    assert bars(chart(made, "Ported, by country")) == {"IN": "15 of 100"}
    assert bars(chart(made, "Ported, by carrier")) == {"Airtel // Delhi": "1 of 4"}


def test_spend_is_shown_by_day_and_for_rcs_the_lookups() -> None:
    days = [Day("2026-11-20", 200, Decimal("1.0")), Day("2026-11-21", 100, Decimal("0.505"))]
    spend = chart(report(NUMBER, SUMMARY, None, books(days=days)), "Spend by day")
    lookups = chart(report(RCS, SUMMARY, None, books(days=days)), "Lookups by day")

    assert [(bar.label, bar.value) for bar in spend.bars] == [("2026-11-20", "1"), ("2026-11-21", "0.505")]
    assert [bar.parts for bar in spend.bars] == [(1.0,), (0.505,)]
    assert [bar.value for bar in lookups.bars] == ["200", "100"]


def test_a_table_without_answers_has_no_charts() -> None:
    assert said(RCS, Outcome("invalid", "empty", 3, 3)).charts == []


def test_a_number_that_a_carrier_or_reason_holds_is_masked() -> None:
    (number,) = numbers(1)
    made = said(RCS, Outcome("failed", f"about {number}", 1, 1), carriers=[Split(f"x {number}", 1, 0, 0)])

    assert number[1:] not in repr(made)
    assert len(made.lines) == len(made.charts) == 1


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        {},
        {"api": "sms", "conn_id": "a", "result_table": "b"},
        {"api": "rcs", "conn_id": 7, "result_table": "b"},
        {"api": "rcs", "conn_id": "a", "result_table": ["b"]},
    ],
)
def test_an_xcom_of_somebody_else_is_no_report(value: object) -> None:
    assert Filed.read(value) is None


def test_a_task_without_a_table_has_a_report_of_its_summary() -> None:
    filed = Filed.read({"api": "rcs", "conn_id": None, "result_table": None})
    assert filed is not None
    made = report(filed, SUMMARY, None, None)

    assert made.figures
    assert (made.lines, made.charts, made.ledger) == ([], [], [])
