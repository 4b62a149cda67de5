"""How many numbers go into each request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

WINDOW = 2_500


def sizes(count: int, size: int, least: int = 1) -> list[int]:
    """Split ``count`` numbers into balanced batches of ``least`` to ``size``; single ones for the rest.

    501 numbers at 500 are 251 + 250; with ``least=100``, 99 numbers are 99 single ones.
    """
    batches = min(-(-count // size), count // least) if size >= least else 0
    batched = min(count, batches * size)
    each, rest = divmod(batched, batches) if batches else (0, 0)
    return [each + (index < rest) for index in range(batches)] + [1] * (count - batched)


def batches(numbers: Iterable[str], size: int, least: int = 1) -> Iterator[list[str]]:
    """Cut a stream of numbers into batches, balanced over as much as is held in memory at once.

    A stream longer than that is cut into full batches first, so that only its end has to be balanced.
    """
    stream = iter(numbers)
    held: list[str] = []
    while chunk := list(islice(stream, max(WINDOW, size) - len(held) + size)):
        held += chunk
        while size >= least and len(held) > max(WINDOW, size):
            yield held[:size]
            del held[:size]
        if size < least:
            yield from ([number] for number in held)
            held.clear()
    start = 0
    for length in sizes(len(held), size, least):
        yield held[start : start + length]
        start += length
