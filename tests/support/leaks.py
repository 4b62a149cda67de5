"""Everything that a test run has said, searched for what it must not say."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO


class Leaks(logging.Handler):
    """Records log messages and exceptions into a file, and finds numbers and keys in it."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self._secrets: set[str] = set()
        self._said: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115

    def listen(self) -> None:
        root = logging.getLogger()
        root.addHandler(self)
        for name in ("airflow_provider_kaleyra", "urllib3", "airflow.task"):
            logging.getLogger(name).setLevel(logging.DEBUG)
            if not logging.getLogger(name).propagate:
                logging.getLogger(name).addHandler(self)

    def stop(self) -> None:
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.read(self.format(record))

    def read(self, text: str) -> None:
        """Take note of something that a person could see."""
        if text:
            self._said.write(text.replace("\r", " ") + "\n")

    def watch(self, secrets: Iterable[str]) -> None:
        """Add numbers and keys that nobody may see in full."""
        self._secrets.update(
            text for secret in secrets if len(text := re.sub(r"[^0-9A-Za-z]", "", secret)) > 8
        )

    def found(self, *folders: Path) -> Iterator[str]:
        """Yield the lines, recorded or in the files of the folders, that hold a secret."""
        self._said.flush()
        self._said.seek(0)
        yield from (line for line in self._said if self._leaks(line))
        self._said.seek(0, 2)
        for folder in folders:
            for path in folder.rglob("*.log"):
                with path.open(encoding="utf-8", errors="replace") as lines:
                    yield from (f"{path.name}: {line}" for line in lines if self._leaks(line))

    def leaks(self, text: str) -> bool:
        """Tell whether a text holds a secret."""
        return self._leaks(text)

    def _leaks(self, text: str) -> bool:
        words = re.findall(r"[0-9A-Za-z]{9,}", text)
        # A number may stand in a line with its separators, too.
        digits = (re.sub(r"[^0-9]", "", run) for run in re.findall(r"[0-9][0-9 ().-]{8,20}[0-9]", text))
        return not self._secrets.isdisjoint(words) or not self._secrets.isdisjoint(digits)

    @property
    def watched(self) -> int:
        """How many secrets are known."""
        return len(self._secrets)
