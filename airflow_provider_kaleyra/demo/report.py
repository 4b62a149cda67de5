"""What a person sees when the demo has worked."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from airflow_provider_kaleyra.demo.findings import Contact, Findings
from airflow_provider_kaleyra.phone import REASONS

EXPLAINED = {
    **REASONS,
    "refused_by_service": "The service was asked and says that there is no such number.",
}
TASKS = {"rcs": "RCS capability", "numbers": "Number lookup"}
TABLES = {
    "contacts": "the contacts, with columns of their own filled",
    "contacts_rcs": "RCS outcomes, a row for each text",
    "contacts_numbers": "number lookup outcomes, a row for each text",
    "contacts_enriched": "all of it joined, a row for each contact",
    "kaleyra_rcs_ledger": "what was bought, a row for each number",
    "kaleyra_number_ledger": "the same for number lookups, with what each cost",
}
QUERY = "SELECT phone, phone_number, carrier, rcs_enabled FROM contacts_enriched LIMIT 10"


@dataclass(frozen=True)
class _Trimmed:
    """A table whose lines end where their text does."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in console.render_lines(self.table, options, pad=False):
            while line and not line[-1].text.strip():
                line.pop()
            if line:
                yield from line[:-1]
                yield Segment(line[-1].text.rstrip(), line[-1].style)
            yield Segment.line()


def show(findings: Findings, console: Console) -> None:
    """Print the report."""
    console.print()
    if not findings.asked:
        console.print(
            f"[bold green]Nothing was bought:[/] 0 asked, {findings.reused:,} reused, cost 0. "
            "The ledger had every answer.\n"
        )
    console.print(
        f"{findings.contacts:,} contacts, {findings.texts:,} different texts for a phone, "
        f"{findings.numbers:,} distinct numbers.\n"
    )
    for table in (_bought(findings), _came(findings), _countries(findings)):
        console.print(_Trimmed(table))
        console.print()
    _say_what_is_invalid(findings, console)
    console.print(_Trimmed(_contacts(findings)))
    console.print()
    _say_where(findings, console)


def _bought(findings: Findings) -> Table:
    table = _table("This run")
    headings = ("numbers asked", "requests", "cost", "contacts reused", "invalid")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, title in TASKS.items():
        summary = findings.summaries[name]
        # RCS answers name no price.
        price = "not told" if name == "rcs" and summary["asked"] else summary["price"]
        table.add_row(
            title,
            f"{summary['asked']:,}",
            f"{summary['requests']:,}",
            price,
            f"{summary['reused']:,}",
            f"{summary['invalid']:,}",
        )
    if findings.spent_ever != findings.summaries["numbers"]["price"]:
        table.add_row(Text("All runs", "dim"), "", "", Text(findings.spent_ever, "dim"), "", "")
    return table


def _came(findings: Findings) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("Reached by RCS", _counts(findings.rcs, good="yes"))
    table.add_row("Ported", _counts(findings.ported))
    return table


def _counts(counts: dict[str, int], good: str = "") -> Text:
    total = sum(counts.values())
    text = Text()
    for name in ("yes", "no", "unknown", "no_answer"):
        if count := counts.get(name, 0):
            share = f" ({count / total:.0%})" if name == "yes" else ""
            text.append(f"{', ' if text else ''}{name.replace('_', ' ')} ")
            text.append(f"{count:,}{share}", "green" if name == good else "")
    return text.append(f" of {total:,} numbers", "dim")


def _countries(findings: Findings) -> Table:
    table = _table("By country")
    for heading in ("numbers", "RCS", "", "ported"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in findings.countries:
        name = "other" if row.country in ("", "ZZ") else row.country
        table.add_row(
            name, f"{row.numbers:,}", f"{row.rcs:,}", f"{row.rcs / row.numbers:.0%}", f"{row.ported:,}"
        )
    return table


def _say_what_is_invalid(findings: Findings, console: Console) -> None:
    if not findings.invalid:
        return
    console.print(f"[bold]{sum(findings.invalid.values()):,} contacts have no valid number[/]\n")
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, style="yellow")
    table.add_column()
    for reason, count in findings.invalid.items():
        table.add_row(f"{count:,}", reason, EXPLAINED.get(reason, ""))
    console.print(_Trimmed(table))
    console.print()


def _contacts(findings: Findings) -> Table:
    table = _table("Ten contacts")
    table.add_column("number, masked", no_wrap=True)
    table.add_column("country", no_wrap=True)
    table.add_column("carrier, or reason", no_wrap=True, overflow="ellipsis")
    table.add_column("ported", no_wrap=True)
    table.add_column("RCS", no_wrap=True)
    for contact in findings.sample:
        table.add_row(contact.name, *_cells(contact))
    return table


def _cells(contact: Contact) -> list[Text]:
    number = Text(contact.number)
    if contact.status != "ok":
        return [number, Text(), Text(contact.reason or contact.status, "yellow"), Text(), Text()]
    words = {True: Text("yes", "green"), False: Text("no"), None: Text("unknown", "dim")}
    country = "" if contact.country == "ZZ" else contact.country
    ported = Text("yes") if contact.ported else Text("no", "dim")
    return [number, Text(country), Text(contact.carrier), ported, words[contact.rcs]]


def _say_where(findings: Findings, console: Console) -> None:
    console.print(
        f"[bold]The database[/] has the numbers in full: {_short(findings.database)}", soft_wrap=True
    )
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="cyan")
    table.add_column()
    for name, what in TABLES.items():
        table.add_row(name, what)
    console.print(_Trimmed(table))
    console.print("\nLook at it:")
    console.print(f"  {look(_short(findings.database))}", style="cyan", markup=False, soft_wrap=True)
    console.print(f"\nWhat Airflow {findings.airflow} said: {_short(findings.log)}\n", soft_wrap=True)
    if findings.asked:
        console.print("[bold]Now run it again:[/] nothing will be bought.")
    else:
        console.print("To start over, add --fresh.")


def look(database: str) -> str:
    """Give a command that shows the result on this machine, which may have no `sqlite3`."""
    if shutil.which("sqlite3"):
        return f'sqlite3 -box {shlex.quote(database)} "{QUERY}"'
    code = f"import sqlite3; print(*sqlite3.connect({database!r}).execute({QUERY!r}), sep='\\n')"
    return f'python3 -c "{code}"' if shlex.quote(database) == database else f"python3 -c {shlex.quote(code)}"


def _short(path: Path) -> str:
    """Give a path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _table(title: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)
    table.add_column(Text(title, "bold not dim"), no_wrap=True)
    return table
