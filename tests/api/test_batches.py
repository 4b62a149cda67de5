"""How many numbers go into each request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_kaleyra.api.batches import WINDOW, batches, sizes


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, []),
        (1, [1]),
        (99, [1] * 99),
        (100, [100]),
        (101, [101]),
        (500, [500]),
        (501, [251, 250]),
        (601, [301, 300]),
        (1001, [334, 334, 333]),
    ],
)
def test_bulks_hold_100_to_500_numbers_and_are_balanced(count: int, expected: list[int]) -> None:
    assert sizes(count, 500, 100) == expected


def test_what_no_bulk_can_hold_is_asked_singly() -> None:
    assert sizes(150, 100, 100) == [100] + [1] * 50
    assert sizes(199, 150, 100) == [150] + [1] * 49


def test_a_batch_size_below_the_least_makes_single_requests() -> None:
    assert sizes(250, 99, 100) == [1] * 250


@given(count=st.integers(0, 30_000), size=st.integers(1, 500), least=st.sampled_from([1, 100]))
@example(count=199, size=199, least=100)
def test_sizes_add_up_are_balanced_and_within_bounds(count: int, size: int, least: int) -> None:
    found = sizes(count, size, least)
    batched = [length for length in found if length > 1]

    assert sum(found) == count
    assert all(least <= length <= size for length in batched)
    assert not batched or max(batched) - min(batched) <= 1 or least == 1
    assert max(found, default=0) - min(found, default=0) <= 1 or least > 1


@given(
    count=st.one_of(st.integers(0, 1_200), st.integers(WINDOW - 600, WINDOW + 1_600)),
    size=st.sampled_from([1, 2, 99, 100, 101, 150, 499, 500]),
    least=st.sampled_from([1, 100]),
)
def test_every_number_is_in_exactly_one_batch(count: int, size: int, least: int) -> None:
    numbers = [str(number) for number in range(count)]
    cut = list(batches(iter(numbers), size, least))

    assert [number for batch in cut for number in batch] == numbers
    assert all(len(batch) == 1 or least <= len(batch) <= size for batch in cut)


def test_a_stream_is_held_no_more_than_a_window_at_a_time() -> None:
    taken = 0

    def stream() -> Iterator[str]:
        nonlocal taken
        for taken in range(1, 10 * WINDOW):
            yield str(taken)

    given_out = 0
    for batch in batches(stream(), 500, 100):
        given_out += len(batch)
        assert taken - given_out <= WINDOW + 500
        if given_out > 3 * WINDOW:
            break
    assert taken < 5 * WINDOW
