"""What the README and the documentation show, done as written."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.operators.rcs import RcsCapabilityOperator
from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from tests.support import airflow_runs
from tests.support.databases import Database

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COSTS = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")
PHONES = ["+1 202 555 0134", "+12025550134", "+447911123456", "02071838750", "n/a"]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run_dag() -> dict[str, dict[str, Any]]:
    """Run the README's DAG; give its tasks' summaries."""
    (source,) = blocks(README, "python")
    names: dict[str, Any] = {}
    exec(compile(source, "README.md", "exec"), names)
    ran = airflow_runs.run_dag(names["dag"])
    assert {task.state for task in ran.values()} == {"success"}
    return {name: task.summary or {} for name, task in ran.items()}


@pytest.mark.usefixtures("airflow_db")
def test_dag_and_the_queries_on_its_bill(sandbox: Sandbox, database: Database) -> None:
    database.contacts(PHONES)
    first, second = run_dag(), run_dag()
    for task in ("rcs", "numbers"):
        assert (first[task]["asked"], first[task]["invalid"]) == (2, 2)
        assert (second[task]["asked"], second[task]["reused"], second[task]["price"]) == (0, 3, "0")
    assert {api: set(counts.values()) for api, counts in sandbox.account.purchases.items()} == {
        "rcs": {1},
        "number": {1},
    }
    american, british = subscriber("+12025550134"), subscriber("+447911123456")
    filled = [american, american, british]
    rows = database.rows("SELECT rcs, carrier, note FROM contacts ORDER BY id")
    assert [(row["rcs"], row["carrier"]) for row in rows[:3]] == [
        (person.rcs_enabled, person.current.name) for person in filled
    ]
    assert [(row["rcs"], row["carrier"]) for row in rows[3:]] == [(None, None)] * 2
    assert {row["note"] for row in rows} == {"mine"}
    assert len(database.rows("SELECT * FROM contacts_rcs")) == len(PHONES)

    queries = [query for block in blocks(COSTS, "sql") for query in block.split(";") if query.strip()]
    bill, statuses, doubts, repeats = [database.rows(query) for query in queries]
    assert [(row["numbers"], row["lookups"], f"{row['spent']:.2f}") for row in bill] == [(2, 2, "0.01")]
    assert statuses == [{"status": "ok", "numbers": 2}]
    assert (doubts, repeats) == ([], [])


def test_connection_is_the_same_in_its_three_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line for block in blocks(README, "sh") for line in block.splitlines() if "AIRFLOW_CONN" in line]
    as_in_the_form = {
        "conn_type": "kaleyra",
        "login": "HXAP16XXXXXX97IN",
        "password": "your-api-key",
        "host": "",
        "extra": json.dumps({"pod": "in", "rcs_pod": "na", "rcs_host": "", "timeout": 60}),
    }
    configs = []
    for line in [*lines, f"export AIRFLOW_CONN_KALEYRA_DEFAULT={shlex.quote(json.dumps(as_in_the_form))}"]:
        name, _, value = shlex.split(line)[1].partition("=")
        monkeypatch.setenv(name, value)
        configs.append(KaleyraHook().get_conn().config)
    assert len(configs) == 3
    assert configs[0] == configs[1] == configs[2]
    assert configs[0].number_url == "https://api.in.kaleyra.io"


def test_parameters_in_the_table_exist() -> None:
    table = README.split("| parameter |")[1].split("\n\n")[0]
    named = {
        name
        for cell in re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", cell)
    }
    for operator in (RcsCapabilityOperator, NumberLookupOperator):
        given = operator(task_id="task", numbers=[])
        assert [name for name in named - {"max_price"} if not hasattr(given, name)] == []
    assert hasattr(given, "max_price")


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "docs/index.md", "docs/costs.md"])
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
