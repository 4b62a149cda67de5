"""What benchmarks share: a fresh process for each contender, the sandbox in one of its own, and a table."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import urlopen

from airflow_provider_kaleyra.sandbox import subscriber

Work = Callable[[], Any]


@dataclass(frozen=True)
class Measured:
    """What one piece of work took: seconds of wall and of CPU, and megabytes at its peak.

    `base` is the memory before it began, when all that it needs was imported.
    """

    wall: float
    cpu: float
    base: float
    peak: float
    value: Any


def fresh(prepare: Callable[..., Work], *args: Any) -> Measured:
    """Measure the work that `prepare(*args)` gives, in a process of its own; preparing is not measured.

    `prepare` is a function of a module, and what the work returns can be pickled.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, prepare, args).result()


def _measure(prepare: Callable[..., Work], args: Sequence[Any]) -> Measured:
    work = prepare(*args)
    base, wall, cpu = _peak(), time.perf_counter(), time.process_time()
    value = work()
    return Measured(time.perf_counter() - wall, time.process_time() - cpu, base, _peak(), value)


def _peak() -> float:
    """Megabytes at the peak of this process; `ru_maxrss` would tell of the one that started it, too."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def rounds(contenders: dict[str, Callable[[], Measured]], times: int) -> dict[str, list[Measured]]:
    """Let contenders take turns, so that what else the machine does meets all of them alike."""
    found: dict[str, list[Measured]] = {name: [] for name in contenders}
    for _ in range(times):
        for name, contend in contenders.items():
            found[name].append(contend())
    return found


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of what was measured in the same round."""
    return median(our / their for our, their in zip(ours, theirs, strict=True))


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table; a float has as many digits as are worth reading."""
    print(f"\n{title}\n")
    shown = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *shown, strict=True)]
    for row in (head, ["-" * width for width in widths], *shown):
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def numbers(wanted: int) -> list[str]:
    """E.164 numbers of a country that does not exist, each with a subscriber in the sandbox."""
    every = (f"+999{n:09d}" for n in count())
    return list(islice((number for number in every if subscriber(number).assigned), wanted))


@dataclass(frozen=True)
class Service:
    """A sandbox in a process of its own."""

    url: str
    sid: str
    api_key: str

    def reset(self) -> None:
        urlopen(f"{self.url}/sandbox/reset", data=b"").close()

    def account(self, what: str) -> Any:
        with urlopen(f"{self.url}/sandbox/{what}") as answer:
            return json.load(answer)


@contextmanager
def service(*options: str) -> Iterator[Service]:
    """Run `kaleyra-sandbox` with these options."""
    command = [sys.executable, "-m", "airflow_provider_kaleyra.sandbox", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        first, second = (process.stdout.readline().split() for _ in range(2))  # type: ignore[union-attr]
        yield Service(first[-1], second[1], second[-1])
    finally:
        process.terminate()
        process.wait()
