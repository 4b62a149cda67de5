"""The loop, with a source and a service that see when they are used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from airflow_provider_kaleyra.api.models import Answer, NumberLookup
from airflow_provider_kaleyra.enrichment import unsettled
from airflow_provider_kaleyra.enrichment.checkpoint import Checkpoints
from airflow_provider_kaleyra.enrichment.kinds import NUMBER
from airflow_provider_kaleyra.enrichment.memory import Run
from airflow_provider_kaleyra.enrichment.plan import Input
from airflow_provider_kaleyra.enrichment.results import ListOutput
from airflow_provider_kaleyra.enrichment.run import Enrichment
from airflow_provider_kaleyra.enrichment.settings import Settings
from airflow_provider_kaleyra.enrichment.source import Source
from tests.support.numbers import numbers

TWO = numbers(2)


class CallLog(Source):
    """Many rows about two numbers."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.read = 0

    def total(self) -> int:
        return self._rows

    def chunks(self, size: int = 10) -> Iterator[list[Input]]:
        for start in range(0, self._rows, 10):
            self.read += 10
            yield [Input(position, TWO[position % 2]) for position in range(start, start + 10)]


class Watching:
    """A service that takes note of how far the source was read when it was asked and when it had answered."""

    def __init__(self, source: CallLog) -> None:
        self._source = source
        self.seen: list[int] = []
        self.requests_sent = 0

    def ask(self, numbers: Sequence[str]) -> Answer[NumberLookup]:
        self.seen.append(self._source.read)
        self.requests_sent += 1
        return Answer(tuple(NumberLookup(phone_number=number) for number in numbers))

    def stop(self) -> None:
        pass


def test_many_rows_of_few_numbers_are_asked_about_before_all_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unsettled, "MOST", 20)
    source = CallLog(1000)
    service = Watching(source)
    output = ListOutput(NUMBER)
    memory = Checkpoints(None)

    summary = Enrichment(
        NUMBER, Run("task"), service, source, output, memory, Settings(max_workers=1)
    ).execute()

    assert service.seen[0] == 30
    assert (summary.inputs, summary.distinct, summary.buckets["ok"]) == (1000, 2, 1000)
    assert len(output.rows()) == 1000
