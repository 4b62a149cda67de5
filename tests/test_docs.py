"""The documentation says all that there is, and what it says is so."""

from __future__ import annotations

import ast
import inspect
import io
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_kaleyra import errors
from airflow_provider_kaleyra.api.config import EXTRAS
from airflow_provider_kaleyra.cli import main as kaleyra_ledger
from airflow_provider_kaleyra.enrichment.kinds import NUMBER, RCS, Kind
from airflow_provider_kaleyra.enrichment.summary import Summary
from airflow_provider_kaleyra.enrichment.tables import ledger_table, result_table
from airflow_provider_kaleyra.get_provider_info import CONNECTION_FORM
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.operators.base import EnrichmentOperator
from airflow_provider_kaleyra.operators.number_lookup import NumberLookupOperator
from airflow_provider_kaleyra.phone import REASONS
from airflow_provider_kaleyra.sandbox import Sandbox
from airflow_provider_kaleyra.sensors.lookup_details import LookupDetailsSensor
from tests.support import airflow_runs
from tests.support.databases import Database, sqlite
from tests.support.examples import load_example

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
ANSWER = {RCS.name: "Of an RCS lookup", NUMBER.name: "Of a number lookup"}

every_page = pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
both_kinds = pytest.mark.parametrize("kind", [RCS, NUMBER], ids=["rcs", "number"])


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def section(name: str, heading: str) -> str:
    """Give what stands under a heading, down to the next one of its level or above."""
    level, rest = re.split(rf"^(#+) {re.escape(heading)}$", page(name), maxsplit=1, flags=re.MULTILINE)[1:]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Give the cells of the tables in a text, without their headings."""
    lines = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    table = [[cell.strip() for cell in line.split(" |")] for line in lines]
    headings = [n for n, cells in enumerate(table) if set("".join(cells)) <= set("-|")]
    return [cells for n, cells in enumerate(table) if n not in headings and n + 1 not in headings]


def named(text: str) -> set[str]:
    """Give what the first cells of the tables in a text name as code."""
    return {name for cells in rows(text) for name in re.findall(r"`([^`]+)`", cells[0])}


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in found]


def parameters(made: type) -> dict[str, Any]:
    """Give the parameters that a class adds to those of its base, each with its default."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(made.__init__).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


SHARED = parameters(EnrichmentOperator)
OWN = {
    "Both operators": SHARED,
    "NumberLookupOperator": parameters(NumberLookupOperator),
    "LookupDetailsSensor": parameters(LookupDetailsSensor),
}


@pytest.mark.parametrize("heading", OWN)
def test_every_parameter_is_explained_and_no_other(heading: str) -> None:
    assert named(section("parameters", heading)) == set(OWN[heading])
    assert len(OWN[heading]) > 5


@pytest.mark.parametrize("heading", OWN)
def test_defaults_of_parameters_are_those_of_the_code(heading: str) -> None:
    compared = 0
    for name, default, *_ in rows(section("parameters", heading)):
        if given := re.fullmatch("`([^`]+)`", default):
            value = eval(given[1], {"timedelta": timedelta})
            (parameter,) = re.findall("`(.+?)`", name)
            assert value == OWN[heading][parameter], parameter
            compared += 1
    assert compared >= len(OWN[heading]) - 2


def test_every_template_is_marked() -> None:
    for heading, made in (
        ("Both operators", EnrichmentOperator),
        ("LookupDetailsSensor", LookupDetailsSensor),
    ):
        marked = [cells[0] for cells in rows(section("parameters", heading)) if cells[0].endswith("*T*")]
        assert {name.split("`")[1] for name in marked} == set(made.template_fields)


@both_kinds
def test_every_column_is_explained_and_no_other(kind: Kind) -> None:
    answer = named(section("tables", ANSWER[kind.name]))
    common = named(section("tables", "The result table").split("\n### ")[0])
    assert common | answer == set(result_table(kind, "results").c.keys())
    assert named(section("tables", "The ledger")) | answer == set(ledger_table(kind, None).c.keys())


def test_every_status_and_reason_is_explained() -> None:
    kinds = [errors.KaleyraError]
    while len(kinds) < len(grown := [*{kind: 1 for one in kinds for kind in (one, *one.__subclasses__())}]):
        kinds = grown
    never_an_outcome = (errors.SetupError, errors.FilingError, errors.StoppedError, errors.StillPendingError)
    asked = {one.lookup_reason for one in kinds if not issubclass(one, never_an_outcome)}
    assert named(section("tables", "Reasons").split("Of numbers that were asked about")[0]) == set(REASONS)
    assert asked | {"lookup_expired", "released"} == {
        cells[0].strip("`") for cells in rows(section("tables", "Reasons").split("asked about:")[1])
    }
    statuses = {*errors.Status.__args__, "requested", "not_asked"}  # type: ignore[attr-defined]
    assert named(section("tables", "Status")) == statuses


def test_every_key_of_the_summary_is_explained() -> None:
    assert named(section("parameters", "What a task returns")) == set(Summary(submits=True).as_dict())


def test_every_field_of_the_connection_is_explained_by_its_name_and_its_label() -> None:
    fields = section("connection", "Fields")
    standard = {"login", "password", "host", "port", "schema"}
    assert named(fields) == EXTRAS | standard
    labels = {cells[0].strip("`"): cells[1] for cells in rows(fields)}
    form = CONNECTION_FORM["conn-fields"]
    assert {name: labels[name] for name in form} == {name: field["label"] for name, field in form.items()}
    relabeled = CONNECTION_FORM["ui-field-behaviour"]["relabeling"]
    assert {name: labels[name] for name in relabeled} == relabeled


def test_the_ways_to_write_a_connection_mean_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    *lines, added = blocks(section("connection", "Four ways to write it"), "sh")
    values = [re.fullmatch(r"export \w+='(.*)'\n", line)[1] for line in lines]  # type: ignore[index]
    words = dict(re.findall(r"--conn-(\w+) ('.*?'|\S+)", added))
    as_json = {name: value.strip("'") for name, value in words.items() if name not in ("type", "extra")}
    values.append(json.dumps({"conn_type": words["type"], "extra": words["extra"].strip("'"), **as_json}))
    configs = []
    for value in values:
        monkeypatch.setenv("AIRFLOW_CONN_KALEYRA_DEFAULT", value)
        configs.append(KaleyraHook().get_conn().config)
    assert len(configs) == 3
    assert configs[0] == configs[1] == configs[2]
    assert (configs[0].number_url, configs[0].requests_per_second) == ("https://api.in.kaleyra.io", 10)


@pytest.mark.parametrize("name", ["totals", "release", "file", "erase"])
def test_every_option_of_a_command_is_explained_and_no_other(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        kaleyra_ledger([name, "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert named(section("ledger", name)) == options


def test_every_command_is_explained_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        kaleyra_ledger(["--help"])
    commands = re.findall(r"^    ([a-z]+)  ", capsys.readouterr().out, re.MULTILINE)
    (table, *_) = page("ledger").split("## ")
    assert named(table) == set(commands)


def test_what_the_page_keeps_is_all_but_roaming() -> None:
    (block,) = blocks(section("privacy", "Roaming"), "python")
    made = ast.parse(block).body[-1]
    assert isinstance(made, ast.Expr)
    columns = eval(compile(ast.Expression(made.value), "page", "eval"), {"NumberLookupOperator": dict})[
        "columns"
    ]
    assert NUMBER.only(columns).left_out == {"roaming_mcc", "roaming_mnc", "roaming_operator"}


def said_in_the_code() -> str:
    """Give all text of the package's code, a line for each literal or part of one between its values."""
    trees = (ast.parse(path.read_text()) for path in (ROOT / "airflow_provider_kaleyra").rglob("*.py"))
    parts = (node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return "\n".join(part for part in parts if isinstance(part, str))


def test_messages_to_look_up_are_those_of_the_code() -> None:
    said = said_in_the_code()
    tests = section("connection", "Test connection")
    for table in (page("troubleshooting").split("## Not an error")[0], tests):
        messages = [message for cells in rows(table) for message in re.findall("`([^`]+)`", cells[0])]
        assert len(messages) >= 7
        # A field's name is put between the beginning of such a message and what is wrong with it.
        parts = {
            part.strip(" .()")
            for message in messages
            for part in re.split("…|(?<=^The Kaleyra connection's )(?:extra )?", message)
        }
        assert [part for part in parts if re.search(r"\w{2}", part) and part not in said] == []


@pytest.mark.parametrize(
    "path", [*PAGES, ROOT / "README.md", ROOT / "CHANGELOG.md"], ids=lambda path: path.name
)
def test_links_and_images_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    targets += re.findall(r"^```\{(?:literalinclude|include|image|figure)\} (\S+)", text, re.MULTILINE)
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_every_image_is_shown() -> None:
    shown = {name for path in PAGES for name in re.findall(r"\(images/([^)]+)\)", path.read_text())}
    assert {image.name for image in (DOCS / "images").iterdir()} - shown == set()


@every_page
def test_python_on_a_page_names_parameters_that_there_are(page: Path) -> None:
    known = {
        "RcsCapabilityOperator": SHARED,
        "NumberLookupOperator": {**SHARED, **OWN["NumberLookupOperator"]},
        "LookupDetailsSensor": OWN["LookupDetailsSensor"],
    }
    of_airflow = {"task_id", "retries", "poke_interval", "timeout", "mode", "soft_fail"}
    for block in blocks(page.read_text(encoding="utf-8"), "python"):
        for call in (node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)):
            called = call.func.value if isinstance(call.func, ast.Attribute) else call.func
            if isinstance(called, ast.Name) and called.id in known:
                given = {keyword.arg for keyword in call.keywords if keyword.arg}
                assert given <= {*known[called.id], *of_airflow}


@pytest.mark.usefixtures("airflow_db")
@pytest.mark.parametrize(("name", "task_id"), [("howto-rcs", "rcs"), ("howto-number-lookup", "numbers")])
def test_the_table_that_a_page_assumes_has_the_columns_that_its_example_fills(
    name: str, task_id: str
) -> None:
    (table,) = (block for block in blocks(page(name), "sql") if "CREATE TABLE" in block)
    database = sqlite3.connect(":memory:")
    database.execute(table)
    columns = {column for _, column, *_ in database.execute("PRAGMA table_info(contacts)")}
    task = load_example("enrich_contacts").get_task(task_id)
    assert columns == {"id", task.number_column, *task.write_back}


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The database that the first page makes, by its own lines."""
    connect, make = (
        block
        for block in blocks(page("start"), "sh")
        if "AIRFLOW_CONN_WAREHOUSE" in block or "CREATE TABLE" in block
    )
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    script = f'{make}\n{connect}\nprintf %s "$AIRFLOW_CONN_WAREHOUSE"'
    run = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", run.stdout)
    assert json.loads(run.stdout)["host"] == str(tmp_path / "warehouse.db")
    with sqlite(tmp_path / "warehouse.db") as database:
        yield database


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a line that begins with `kaleyra-ledger`; give what it says."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))

    def call(line: str, lines: str = "") -> str:
        name, *arguments = shlex.split(line)
        assert name == "kaleyra-ledger"
        capsys.readouterr()
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        assert kaleyra_ledger(arguments) == 0
        return capsys.readouterr().out

    return call


def run_page(source: str) -> None:
    names: dict[str, Any] = {}
    # Airflow 2 reads the file that a DAG says it comes from.
    exec(compile(source, str(DOCS / "start.md"), "exec"), names)
    assert {task.state for task in airflow_runs.run_dag(names["dag"]).values()} == {"success"}


def shown(value: Any) -> str:
    """Give a value as a page shows it."""
    return "" if value is None else str(value)


@pytest.mark.usefixtures("airflow_db")
def test_the_first_page_leads_to_an_enriched_table(
    sandbox: Sandbox, warehouse: Database, command: Callable[..., str]
) -> None:
    assert sandbox.airflow_uri.replace(str(sandbox.port), "8700") in page("start")
    (source,) = blocks(page("start"), "python")
    run_page(source)
    look = section("start", "6. Look at the result table")
    queries = blocks(look, "sql")
    assert len(queries) == 2
    told = [rows(part) for part in re.split(r"^```sql$", look, flags=re.MULTILINE)[1:]]
    for query, table in zip(queries, told, strict=True):
        assert [[shown(cell) for cell in row.values()] for row in warehouse.rows(query)] == table

    # “It asks about this number alone.”
    assert 'default_region="GB"' in look
    known = {api: dict(numbers) for api, numbers in sandbox.account.purchases.items()}
    run_page(source.replace("    **contacts,", '    **contacts, default_region="GB",'))
    bought = {api: numbers.keys() - known[api].keys() for api, numbers in sandbox.account.purchases.items()}
    assert {api: len(numbers) for api, numbers in bought.items()} == {"rcs": 1, "number": 1}

    # The bill, as the command tells it.
    (bill,), (told,) = (blocks(section("ledger", "totals"), language) for language in ("sh", "text"))
    # Without what differs: the figures, and how many days there were.
    now, there = (
        {re.sub(r"[^\w/ ]|\d.*| {2,}.*", "", line) for line in text.splitlines()}
        for text in (command(bill), told)
    )
    assert now == there

    # Privacy: roaming is cleared, and a number is erased, in every table.
    (clear,) = blocks(section("privacy", "Roaming"), "sql")
    tables = ("contacts_rcs", "contacts_numbers", "kaleyra_rcs_ledger", "kaleyra_number_ledger")
    warehouse.execute("UPDATE contacts_numbers SET roaming_mcc = '001', roaming_operator = 'Elsewhere'")
    warehouse.execute("UPDATE kaleyra_number_ledger SET roaming_mnc = '01'")
    for statement in filter(str.strip, clear.split(";")):
        warehouse.execute(statement)
    for table in ("contacts_numbers", "kaleyra_number_ledger"):
        left = warehouse.rows(f"SELECT roaming_mcc, roaming_mnc, roaming_operator FROM {table}")
        assert {cell for row in left for cell in row.values()} == {None}
    erase, by_text = blocks(section("privacy", "Erase a number"), "sh")
    assert blocks(section("ledger", "erase"), "sh") == [erase]
    assert all("0134" in str(warehouse.rows(f"SELECT * FROM {table}")) for table in tables)
    assert [command(erase, "+12025550134\n")] == blocks(section("privacy", "Erase a number"), "text")
    command(by_text, "n/a\n")
    assert warehouse.rows("SELECT * FROM contacts_numbers WHERE raw_number = 'n/a'") == []
    assert not any("0134" in str(warehouse.rows(f"SELECT * FROM {table}")) for table in tables)


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="the documentation is built with the newest Airflow")
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS)]
    build = subprocess.run([*command, str(tmp_path / "html")], capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stderr
    for part in PAGES:
        assert (tmp_path / "html" / f"{part.stem}.html").exists()
