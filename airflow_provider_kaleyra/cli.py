"""``kaleyra-ledger``: what a person does with a ledger."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_kaleyra.errors import ConfigurationError, KaleyraError
from airflow_provider_kaleyra.phone import REASONS, InvalidNumber, check_region, mask

if TYPE_CHECKING:
    from airflow_provider_kaleyra.enrichment.erase import Erased
    from airflow_provider_kaleyra.enrichment.kinds import Kind
    from airflow_provider_kaleyra.enrichment.plan import Reading

MOST_COMPLAINTS = 10


def parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    made = argparse.ArgumentParser(prog="kaleyra-ledger", description="What a person does with a ledger.")
    commands = made.add_subparsers(required=True, metavar="COMMAND")

    file = commands.add_parser("file", help="file paid answers that the database would not take in their run")
    file.add_argument("path", type=Path, help="the JSON-lines file that the task's error named")
    file.set_defaults(run=_file)

    release = commands.add_parser("release", help="let numbers in doubt be asked about again")
    release.add_argument("--conn-id", required=True, help="Airflow connection of the ledger's database")
    release.add_argument("--api", required=True, choices=["rcs", "number"], help="which of the two ledgers")
    release.add_argument("--schema", help="schema of the ledger, if not the connection's own")
    release.set_defaults(run=_release)

    totals = commands.add_parser("totals", help="add up a ledger by run, day and status; it changes nothing")
    totals.add_argument("--conn-id", required=True, help="Airflow connection of the ledger's database")
    totals.add_argument("--api", required=True, choices=["rcs", "number"], help="which of the two ledgers")
    totals.add_argument("--schema", help="schema of the ledger, if not the connection's own")
    totals.add_argument("--by", choices=["run", "day", "status"], help="by one of them alone")
    totals.add_argument("--json", action="store_true", help="as JSON")
    totals.set_defaults(run=_totals)

    erase = commands.add_parser(
        "erase",
        help="erase numbers from ledgers and result tables",
        description="Erase numbers from both ledgers, and from result tables in every spelling. The numbers "
        "are read from standard input or a file, one a line: an argument would stand in the shell's history.",
    )
    erase.add_argument("--conn-id", required=True, help="Airflow connection of the database")
    erase.add_argument(
        "--table", action="append", default=[], help="a result table, schema.table if need be; once for each"
    )
    erase.add_argument("--schema", help="schema of ledgers and tables, if not the connection's own")
    erase.add_argument("--file", default="-", help="file of numbers, - for standard input (the default)")
    erase.add_argument(
        "--default-region", help="ISO country that national numbers are read as of, such as GB"
    )
    erase.add_argument(
        "--assume-country-code", action="store_true", help="read digits without + as international"
    )
    erase.add_argument(
        "--raw",
        action="store_true",
        help="lines are texts: erase the rows that have exactly these as raw_number",
    )
    erase.add_argument(
        "--force", action="store_true", help="erase also what is on its way, and may come back"
    )
    erase.set_defaults(run=_erase)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; say on the terminal what was done."""
    given = parser().parse_args(arguments)
    from airflow.providers.common.compat.sdk import AirflowException

    try:
        print(given.run(given))  # noqa: T201
    except (KaleyraError, AirflowException, OSError, UnicodeError) as error:
        print(f"kaleyra-ledger: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _file(given: argparse.Namespace) -> str:
    from airflow_provider_kaleyra.enrichment.rescue import file_later

    if not given.path.is_file():
        raise ConfigurationError(
            f"There is no file {given.path}: give the one that the task's error has named, on its worker"
        )
    count = file_later(given.path)
    return f"Filed the answers about {_counted(count, 'number')}, and removed {given.path}."


def _release(given: argparse.Namespace) -> str:
    from airflow_provider_kaleyra.enrichment.database import engine_of
    from airflow_provider_kaleyra.enrichment.ledger import release_doubts

    kind = _kind(given)
    count = release_doubts(engine_of(given.conn_id), kind, given.schema)
    return f"Released {_counted(count, 'number')} in {kind.ledger}: the next run may ask again."


def _totals(given: argparse.Namespace) -> str:
    from airflow_provider_kaleyra.enrichment.database import engine_of
    from airflow_provider_kaleyra.report.aggregates import GROUPED_BY, totals
    from airflow_provider_kaleyra.report.totals import as_json, as_text

    kind, engine = _kind(given), engine_of(given.conn_id)
    found = {by: totals(engine, kind, given.schema, by) for by in ([given.by] if given.by else GROUPED_BY)}
    return (as_json if given.json else as_text)(kind, found)


def _kind(given: argparse.Namespace) -> Kind:
    from airflow_provider_kaleyra.enrichment.kinds import NUMBER, RCS

    return RCS if given.api == "rcs" else NUMBER


def _erase(given: argparse.Namespace) -> str:
    from airflow_provider_kaleyra.enrichment.assemble import rescue_folder
    from airflow_provider_kaleyra.enrichment.database import engine_of
    from airflow_provider_kaleyra.enrichment.erase import Eraser, unfiled
    from airflow_provider_kaleyra.enrichment.plan import Reading

    if given.raw and (given.default_region or given.assume_country_code):
        raise ConfigurationError(
            "--default-region and --assume-country-code go without --raw: texts are not read"
        )
    if given.raw and not given.table:
        raise ConfigurationError("--raw goes with --table: texts stand in result tables alone")
    try:
        check_region(given.default_region)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    read = Reading(given.default_region, given.assume_country_code)
    lines = _lines(given.file)
    # By number, or with --raw by text: what the output calls it.
    named = {line: f"line {n}" for n, line in lines.items()} if given.raw else _numbers(lines, read)
    eraser = Eraser(engine_of(given.conn_id), given.table, given.schema)
    if not given.force and (waiting := unfiled(rescue_folder(), named)):
        raise ConfigurationError(
            f"{waiting[0]} holds answers about it that are not filed yet, and would bring it back. "
            f"Nothing was erased. First run: kaleyra-ledger file {waiting[0]}"
        )
    erased = eraser.erase_texts(named) if given.raw else eraser.erase(named, read, force=given.force)
    return _told(erased, named, given)


def _lines(path: str) -> dict[int, str]:
    """Read what is to be erased, by the number of its line."""
    if path != "-":
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (FileNotFoundError, IsADirectoryError):
            raise ConfigurationError(
                f"There is no file {path}: give one of numbers, one a line, or leave --file out "
                "and give them on standard input"
            ) from None
    else:
        if sys.stdin.isatty():
            print("What is to be erased, one a line; Ctrl-D ends it:", file=sys.stderr)  # noqa: T201
        text = sys.stdin.read()
    lines = {n: line for n, line in enumerate(text.splitlines(), 1) if line.strip()}
    if not lines:
        raise ConfigurationError("There is nothing to erase: give numbers, one a line")
    return lines


def _numbers(lines: Mapping[int, str], read: Reading) -> dict[str, str]:
    """Give the E.164 numbers that lines hold, each with its masked form.

    :raises ConfigurationError: if a line holds none; it may be a slip of the pen.
    """
    numbers, wrong = {}, []
    for n, line in lines.items():
        found = read(line)
        if isinstance(found, InvalidNumber):
            wrong.append(f"line {n} is no phone number ({found.reason}): {REASONS[found.reason]}")
        else:
            numbers[found.e164] = mask(found.e164)
    if wrong:
        raise ConfigurationError(
            "\n".join(wrong[:MOST_COMPLAINTS])
            + (f"\nand {len(wrong) - MOST_COMPLAINTS:,} more" if len(wrong) > MOST_COMPLAINTS else "")
            + "\nNothing was erased. Write numbers with + and their country code, or say how to read them "
            "with --default-region or --assume-country-code; --raw erases rows by their exact text"
        )
    return numbers


def _told(erased: Erased, named: Mapping[str, str], given: argparse.Namespace) -> str:
    said = [f"Erased {_counted(erased.tables.total(), 'row')}."]
    said += [f"  {name}: {rows:,}" for name, rows in erased.tables.items()]
    said.append("Of them")
    said += [f"  {name}: {erased.rows[what]:,}" for what, name in named.items()]
    if erased.numbered:
        said.append(
            f"{erased.numbered:,} of the rows stood for a number, which may have other rows: erase it too."
        )
    if not given.table:
        said.append("No result table was named with --table: their rows stay.")
    said.append(
        "If a source still has it, the next run files it again, and asks and pays again for a number."
    )
    return "\n".join(said)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
