"""The command `kaleyra-demo`: the example DAG in an Airflow of its own, on made-up contacts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

NEEDED = ("aiohttp", "apache-airflow-providers-sqlite", "rich")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kaleyra-demo",
        description="Enrich 1,000 made-up contacts through Airflow, against a stand-in for Kaleyra's service "
        "on this machine: free, and calls nobody. Run it twice: the second run buys nothing.",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("kaleyra-demo"),
        help="where contacts.db, the log and an Airflow home of its own go (./%(default)s)",
    )
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs left in the folder")
    parser.add_argument("--json", action="store_true", help="print what came out as JSON")
    return parser


def _missing() -> list[str]:
    missing = []
    for name in NEEDED:
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    return missing


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; gives the exit code."""
    args = _parser().parse_args(argv)
    if missing := _missing():
        print(
            f"Missing: {', '.join(missing)}. Install the extra demo of airflow-provider-kaleyra",
            file=sys.stderr,
        )
        return 1
    from airflow_provider_kaleyra.demo.command import run

    return run(args.folder, fresh=args.fresh, as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())
