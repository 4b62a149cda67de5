"""Single values of an answer, read however they are written."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

LONGEST_TEXT = 2_000
"""Characters that every database takes, whatever its columns are."""


def folded(value: object) -> dict[str, Any]:
    """Fold an object's keys, so that their letter case and underscores don't matter."""
    return {_folded_key(key): item for key, item in value.items()} if isinstance(value, dict) else {}


@lru_cache(maxsize=1000)
def _folded_key(key: str) -> str:
    return key.lower().replace("_", "")


def number_of(value: object) -> str:
    """Give digits as E.164, and what is no digits as empty text."""
    digits = str(value if value is not None else "").strip().removeprefix("+")
    return f"+{digits}" if digits.isascii() and digits.isdigit() else ""


def words_of(value: object) -> str | None:
    """Give what the service says, without URLs: the one of an answer's own details holds a key."""
    # From the beginning of a word only: else a long word is searched once for each of its letters.
    return re.sub(r"(?<!\S)\S+://\S+", "(URL)", text_of(value) or "") or None


def text_of(value: object) -> str | None:
    """Give a value as text that every database takes; no text is ``None``."""
    return None if value is None or isinstance(value, (dict, list)) else _clean(str(value)[:LONGEST_TEXT])


@lru_cache(maxsize=1000)
def _clean(text: str) -> str | None:
    # What no database takes (NUL, lone surrogates) becomes U+FFFD.
    text = text.replace("\0", "\ufffd")
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.strip() or None


def integer_of(value: object) -> int | None:
    """Give a small whole number, written as one or as text."""
    text = str(value if value is not None else "").strip().removeprefix("+")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def flag_of(value: object) -> bool | None:
    """Give yes or no, however it is written; anything else is ``None``."""
    return value if isinstance(value, bool) else _FLAGS.get(str(value).strip().lower())


_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
