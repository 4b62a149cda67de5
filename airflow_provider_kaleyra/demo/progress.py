"""What a person sees while the demo works: live on a terminal, else a line for each step that is done."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from airflow_provider_kaleyra.sandbox import Account, Request

APIS = {"rcs": "rcs", "numbers": "number"}
"""The DAG's tasks that buy, and the API that each asks."""
ENDINGS = {"success": "done", "failed": "failed", "upstream_failed": "failed"}
_TASK_STATES = """
SELECT task_id, coalesce(state, '') FROM task_instance
WHERE run_id = (SELECT run_id FROM dag_run WHERE id = ?) ORDER BY end_date
"""


@dataclass
class Step:
    """One line of what is going on."""

    title: str
    detail: str = ""
    state: str = "waiting"
    started: float = 0
    seconds: float = 0
    spinner: Spinner = field(default_factory=lambda: Spinner("dots", style="cyan"))

    def start(self) -> None:
        """Begin to count its seconds."""
        if self.state == "waiting":
            self.state, self.started = "running", time.monotonic()

    def end(self, state: str = "done") -> None:
        """Stop counting, unless it has ended already."""
        self.start()
        if self.state == "running":
            self.tick()
            self.state = state

    @property
    def took(self) -> str:
        """Its seconds so far, if they are worth the word."""
        return f"{self.seconds:.1f} s" if self.seconds >= 0.05 else ""

    def tick(self) -> None:
        """Count on."""
        if self.state == "running":
            self.seconds = time.monotonic() - self.started


class Progress:
    """The steps of a run, kept up to date from the sandbox's account and from Airflow's metadata database."""

    def __init__(self, console: Console, account: Account, airflow_db: Path) -> None:
        self._console = console
        self._account = account
        self._airflow_db = airflow_db
        self._earlier_run = self._latest_run()
        self.contacts = Step("Contacts")
        self.airflow = Step("Airflow", "makes a home of its own" if not self._earlier_run else "wakes up")
        self.tasks = {
            "rcs": Step("RCS capability"),
            "numbers": Step("Number lookup"),
            "join": Step("Join"),
        }
        self._told: list[Step] = []
        self._live: Live | None = None

    @property
    def steps(self) -> list[Step]:
        """All steps in order."""
        return [self.contacts, self.airflow, *self.tasks.values()]

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show the steps until the block ends."""
        if not self._console.is_terminal:
            try:
                yield
            finally:
                self._tell()
            return
        with Live(self._table(), console=self._console, refresh_per_second=12) as self._live:
            try:
                yield
            finally:
                self._live.update(self._table())

    def update(self) -> None:
        """Look at how far the run is."""
        for task_id, state in self._task_states():
            step = self.tasks[task_id]
            # Airflow 2 says only at its end that a task was running.
            if state in ("running", *ENDINGS) or self._requests(task_id):
                self.airflow.end()
                step.start()
            if step.state == "running":
                step.detail = self._detail(task_id, state)
            if state in ENDINGS:
                step.end(ENDINGS[state])
        if self._live is not None:
            self._live.update(self._table())
        else:
            self._tell()

    def _detail(self, task_id: str, state: str) -> str:
        if state == "upstream_failed":
            return "not run"
        if task_id not in APIS:
            return "contacts_enriched: one row for each contact"
        requests = self._requests(task_id)
        asked = len({number for request in requests for number in request.numbers})
        if not asked:
            return "nothing to ask: the ledger has every answer" if state == "success" else "no number asked"
        return f"{_counted(asked, 'number')} asked in {_counted(len(requests), 'request')}"

    def _requests(self, task_id: str) -> list[Request]:
        return [request for request in self._account.requests if request.api == APIS.get(task_id)]

    def _task_states(self) -> list[tuple[str, str]]:
        run = self._latest_run()
        return [] if run == self._earlier_run else self._read(_TASK_STATES, run)

    def _latest_run(self) -> int:
        return sum(run for (run,) in self._read("SELECT coalesce(max(id), 0) FROM dag_run"))

    def _read(self, sql: str, *parameters: object) -> list[Any]:
        """Read Airflow's metadata database; what is not there yet, or locked, is nothing to see."""
        try:
            with closing(sqlite3.connect(f"{self._airflow_db.as_uri()}?mode=ro", uri=True)) as database:
                return database.execute(sql, parameters).fetchall()
        except sqlite3.Error:
            return []

    def _tell(self) -> None:
        for step in self.steps:
            if step.state in ("done", "failed") and step not in self._told:
                self._told.append(step)
                told = f"{step.title}: {step.detail}" if step.detail else step.title
                took = f" ({step.took})" if step.took else ""
                self._console.print(f"{step.state}  {told}{took}", highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(justify="right", no_wrap=True)
        marks: dict[str, Text | Spinner] = {
            "waiting": Text("·", "dim"),
            "done": Text("✓", "green"),
            "failed": Text("✗", "bold red"),
        }
        for step in self.steps:
            step.tick()
            waits = step.state == "waiting"
            table.add_row(
                marks.get(step.state, step.spinner),
                Text(step.title, "dim" if waits else ""),
                Text(step.detail if not waits else "", "dim" if step.state == "done" else ""),
                Text(step.took, "dim"),
            )
        return table


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
