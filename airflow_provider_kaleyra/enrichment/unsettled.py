"""The inputs of numbers that were read and have no outcome yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from airflow_provider_kaleyra.enrichment.plan import Input

MOST = 25_000
"""Inputs above which no more is read before some are settled: many rows may have few numbers."""


class Unsettled:
    """Inputs by E.164 number, in the order in which the numbers were read."""

    def __init__(self) -> None:
        self._inputs: dict[str, list[Input]] = {}
        self._count = 0

    @property
    def crowded(self) -> bool:
        """Whether they are so many that memory would grow with the input."""
        return self._count > MOST

    def add(self, found: Mapping[str, Sequence[Input]]) -> list[str]:
        """Add inputs; give the numbers that were not there before."""
        new = [number for number in found if number not in self._inputs]
        for number, inputs in found.items():
            self._inputs.setdefault(number, []).extend(inputs)
            self._count += len(inputs)
        return new

    def of(self, number: str) -> Sequence[Input]:
        """Give a number's inputs."""
        return self._inputs[number]

    def take(self, number: str) -> list[Input]:
        """Give a number's inputs, and forget them."""
        inputs = self._inputs.pop(number)
        self._count -= len(inputs)
        return inputs

    def __contains__(self, number: str) -> bool:
        return number in self._inputs

    def __iter__(self) -> Iterator[str]:
        return iter(self._inputs)
