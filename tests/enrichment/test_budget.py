"""What a run may still ask and spend."""

from __future__ import annotations

from decimal import Decimal

from airflow_provider_kaleyra.api.models import Answer, NumberLookup
from airflow_provider_kaleyra.enrichment.budget import MOST_UNPRICED, Budget
from tests.support.numbers import numbers

TEN = numbers(10)


def answer(price: str | None, status: str = "ok") -> Answer[NumberLookup]:
    each = None if price is None else Decimal(price) / len(TEN)
    return Answer(
        tuple(NumberLookup(phone_number=phone, status=status, price=each) for phone in TEN),  # type: ignore[arg-type]
        price=None if price is None else Decimal(price),
    )


def asked(budget: Budget, *answers: Answer[NumberLookup]) -> Budget:
    for each in answers:
        budget.leave(len(TEN))
        budget.land(len(TEN), each)
    return budget


def test_without_limits_all_may_be_asked() -> None:
    assert asked(Budget(), answer("1")).allows(10) == 10


def test_a_batch_that_would_pass_the_price_is_not_asked() -> None:
    budget = asked(Budget(max_price=Decimal(2)), answer("1"))

    assert budget.allows(10) == 10
    assert budget.allows(11) == 0


def test_what_is_in_flight_counts_at_the_price_seen() -> None:
    budget = asked(Budget(max_price=Decimal(2)), answer("1"))
    budget.leave(10)

    assert budget.allows(1) == 0


def test_what_may_have_been_billed_counts_at_the_price_of_the_others() -> None:
    budget = asked(Budget(max_price=Decimal(3)), answer("1"), answer(None, "in_doubt"))

    assert budget.allows(10) == 10
    assert budget.allows(11) == 0


def test_what_failed_for_certain_costs_nothing_and_says_nothing_of_the_price() -> None:
    budget = asked(Budget(max_price=Decimal(2)), answer("1"), *[answer(None, "failed")] * 10)

    assert budget.allows(10) == 10
    assert budget.allows(11) == 0


def test_one_batch_is_asked_after_another_until_a_price_is_seen() -> None:
    budget = asked(Budget(max_price=Decimal(2)), answer(None, "in_doubt"))
    assert budget.cautious
    asked(budget, answer("1"))
    assert not budget.cautious


def test_a_price_of_nothing_buys_nothing() -> None:
    assert Budget(max_price=Decimal(0)).allows(10) == 0


def test_nothing_more_is_asked_where_no_price_is_ever_seen() -> None:
    budget = Budget(max_price=Decimal(2))
    for _ in range(MOST_UNPRICED):
        assert budget.allows(10) == 10
        asked(budget, answer(None))

    assert budget.allows(10) == 0


def test_earlier_tries_of_the_run_count() -> None:
    budget = Budget(max_lookups=15, max_price=Decimal(2))
    budget.remember(10, 10, Decimal(1))

    assert budget.allows(10) == 5
    budget.max_lookups = None
    assert budget.allows(11) == 0


def test_what_never_left_may_be_asked_later() -> None:
    budget = Budget(max_lookups=10)
    budget.leave(10)
    budget.land(10, None)

    assert budget.allows(20) == 10
