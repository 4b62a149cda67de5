"""``kaleyra-ledger``: what a person does with a ledger."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_kaleyra.errors import KaleyraError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; say on the terminal what was done."""
    parser = argparse.ArgumentParser(prog="kaleyra-ledger", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    file = commands.add_parser("file", help="file paid answers that the database would not take in their run")
    file.add_argument("path", type=Path, help="the JSON-lines file that the task's error named")
    file.set_defaults(run=_file)

    release = commands.add_parser("release", help="let numbers in doubt be asked about again")
    release.add_argument("--conn-id", required=True, help="Airflow connection of the ledger's database")
    release.add_argument("--api", required=True, choices=["rcs", "number"], help="which of the two ledgers")
    release.add_argument("--schema", help="schema of the ledger, if not the connection's own")
    release.set_defaults(run=_release)

    given = parser.parse_args(arguments)
    try:
        print(given.run(given))  # noqa: T201
    except (KaleyraError, OSError) as error:
        print(f"kaleyra-ledger: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _file(given: argparse.Namespace) -> str:
    from airflow_provider_kaleyra.enrichment.rescue import file_later

    count = file_later(given.path)
    return f"Filed the answers about {count:,} numbers, and removed {given.path}."


def _release(given: argparse.Namespace) -> str:
    from airflow_provider_kaleyra.enrichment.database import engine_of
    from airflow_provider_kaleyra.enrichment.kinds import NUMBER, RCS
    from airflow_provider_kaleyra.enrichment.ledger import release_doubts

    kind = RCS if given.api == "rcs" else NUMBER
    count = release_doubts(engine_of(given.conn_id), kind, given.schema)
    return f"Released {count:,} numbers in {kind.ledger}: the next run may ask about them."
