"""What each input is, and which inputs are one number. Pure."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from airflow_provider_kaleyra.phone import InvalidNumber, PhoneNumber, read

KEY_LENGTH = 255
"""Characters of ``raw_number``: the most that every database takes as a primary key."""


class Input(NamedTuple):
    """One number as it was found: place in the input, text, and its row's primary key if any."""

    position: int
    raw: str
    key: tuple[object, ...] = ()

    def __repr__(self) -> str:
        return f"Input({self.position})"


@dataclass(frozen=True, slots=True)
class Reading:
    """How the user said numbers are to be read."""

    default_region: str | None = None
    assume_country_code: bool = False

    def __call__(self, raw: str) -> PhoneNumber | InvalidNumber:
        """Read one raw number."""
        return read(raw, default_region=self.default_region, assume_country_code=self.assume_country_code)


def raw_text(value: object) -> str:
    """Give a cell's value as the text that it is read and filed by; no value is empty text."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, str):
        return value
    try:
        return str(value)
    except ValueError:
        # Python refuses to write out an int of thousands of digits, but not in hexadecimal.
        return hex(value) if isinstance(value, int) else repr(type(value))


def raw_key(raw: str) -> str:
    """Give the ``raw_number`` under which a text is filed: the text itself, unless no database would take it.

    What cannot be stored (NUL, lone surrogates) becomes U+FFFD, what is too long is cut; both end in a hash.
    """
    if raw.isascii() and len(raw) <= KEY_LENGTH and "\0" not in raw:
        return raw
    text = raw.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if text == raw and len(text) <= KEY_LENGTH:
        return text
    digest = hashlib.sha256(raw.encode(errors="surrogatepass")).hexdigest()
    return f"{text[: KEY_LENGTH - 1 - len(digest)]}…{digest}"


def shards(count: int) -> list[tuple[int, int]]:
    """Give the shards of an input, for ``.expand(shard=shards(8))``."""
    return [(index, count) for index in range(count)]


def in_shard(raw: str, shard: tuple[int, int] | None) -> bool:
    """Tell whether a raw number belongs to a shard. Every process gives the same answer."""
    if shard is None:
        return True
    index, count = shard
    return zlib.crc32(raw.encode(errors="surrogatepass")) % count == index


def by_number(
    inputs: Iterable[Input], reading: Reading
) -> tuple[dict[str, list[Input]], list[tuple[Input, str]]]:
    """Group inputs by the number they mean.

    :return: the inputs of each E.164 number, and the inputs that mean none with the reason.
    """
    numbers: dict[str, list[Input]] = {}
    invalid: list[tuple[Input, str]] = []
    for item in inputs:
        number = reading(item.raw)
        if isinstance(number, InvalidNumber):
            invalid.append((item, number.reason))
        else:
            numbers.setdefault(number.e164, []).append(item)
    return numbers, invalid
