"""What is refused for its inputs, before anything is bought: the source is read for it once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from airflow_provider_kaleyra.enrichment.plan import Input, Reading, by_number, in_shard
from airflow_provider_kaleyra.enrichment.source import Source
from airflow_provider_kaleyra.errors import ConfigurationError

Shard = tuple[int, int] | None


def refuse_too_many(source: Source, shard: Shard, most: int) -> None:
    """Read the source until it has more inputs than its output can hold.

    :raises ConfigurationError: if it has.
    """
    inputs = 0
    for chunk in _chunks(source, shard):
        inputs += len(chunk)
        if inputs > most:
            raise ConfigurationError(
                f"More than {most:,} numbers are too many for an XCom: name a result_table. "
                "Nothing was bought"
            )


def refuse_invalid(source: Source, shard: Shard, reading: Reading) -> None:
    """Read the whole source, and refuse it if a number in it is none.

    :raises ConfigurationError: with the count for each reason.
    """
    reasons: Counter[str] = Counter()
    for chunk in _chunks(source, shard):
        reasons.update(reason for _, reason in by_number(chunk, reading)[1])
    if reasons:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
        raise ConfigurationError(
            f'on_invalid="fail": {reasons.total():,} inputs are no phone numbers ({counts}). '
            "Nothing was bought"
        )


def _chunks(source: Source, shard: Shard) -> Iterator[list[Input]]:
    for chunk in source.chunks():
        yield [item for item in chunk if in_shard(item.raw, shard)]
