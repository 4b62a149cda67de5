"""From a report to HTML: one file, with its style and charts in it and no script."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader

from airflow_provider_kaleyra.report.content import TITLES, Report
from airflow_provider_kaleyra.report.runs import Run


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("airflow_provider_kaleyra.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def run_page(run: Run, report: Report, problem: str | None) -> str:
    """Render the report of one run.

    :param problem: why the database's part is missing.
    """
    return _render("run.html.jinja", run=run, report=report, problem=problem)


def runs_page(runs: Sequence[Run]) -> str:
    """Render the list of runs."""
    return _render("runs.html.jinja", runs=runs, titles=TITLES)


def message_page(message: str) -> str:
    """Render a sentence."""
    return _render("message.html.jinja", message=message)


def _render(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(**values)
