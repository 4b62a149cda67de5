"""Each room knows what it may know: which modules import what."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import airflow_provider_kaleyra

PACKAGE = "airflow_provider_kaleyra"
HOME = Path(airflow_provider_kaleyra.__file__).parent
HTTP = {"requests", "urllib3", "http", "httpx", "aiohttp", "urllib.request", f"{PACKAGE}.hooks"} | {
    f"{PACKAGE}.api.{module}" for module in ("client", "transport", "wire")
}
SQL = {"sqlalchemy", "sqlite3", "psycopg", "psycopg2", "airflow.providers.common.sql"}
AIRFLOW = {"airflow"}
NOT_IN_EVERY_AIRFLOW = {
    *("airflow.sdk", "airflow.providers.openlineage", "openlineage", "flask_appbuilder", "wtforms"),
    *("airflow.__version__", "airflow.version", "airflow.providers.common.compat.version_compat"),
}


def files(room: str) -> list[Path]:
    place = HOME / room
    found = [place] if place.is_file() else sorted(place.rglob("*.py"))
    assert found
    return found


def imports(path: Path, *, at_load: bool = False) -> Iterator[str]:
    """Yield the modules that a file imports, wherever it does, or only those that come with it."""
    yield from _imports(path, [ast.parse(path.read_text())], at_load=at_load)


def optional_imports(path: Path) -> Iterator[str]:
    """Yield what a file tries to import, and does without."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Try) and any("ImportError" in ast.unparse(each) for each in node.handlers):
            yield from _imports(path, [*node.body])


def _imports(path: Path, waiting: list[ast.AST], *, at_load: bool = False) -> Iterator[str]:
    # What stands under `if TYPE_CHECKING` is never imported.
    while waiting:
        node = waiting.pop()
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                waiting += node.orelse
                continue
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() if at_load:
                continue
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                assert node.level == 0, f"{path}: imports are absolute here"
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting += ast.iter_child_nodes(node)


def compared(names: Iterable[str], forbidden: set[str]) -> list[str]:
    """Give the names of what is forbidden, or lies in it."""
    return [name for name in names if any(f"{name}.".startswith(f"{module}.") for module in forbidden)]


def trespasses(room: str, forbidden: set[str], *, at_load: bool = False) -> list[str]:
    return [
        f"{path.relative_to(HOME)} imports {name}"
        for path in files(room)
        for name in compared(imports(path, at_load=at_load), forbidden)
    ]


@pytest.mark.parametrize("room", ["api", "phone.py", "errors.py", "enrichment/plan.py"])
def test_airflow_is_unknown_in(room: str) -> None:
    assert trespasses(room, AIRFLOW) == []


def test_what_knows_no_airflow_works_without_it() -> None:
    modules = ["api.client", "phone", "errors", "enrichment.plan"]
    code = "import sys; sys.modules['airflow'] = None\n" + "\n".join(
        f"import {PACKAGE}.{module}" for module in modules
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_pipeline_knows_no_http() -> None:
    assert trespasses("enrichment", HTTP) == []


def test_operators_hold_neither_sql_nor_http_and_load_neither() -> None:
    assert trespasses("operators", SQL | {"requests", "urllib3", "http", "aiohttp"}) == []
    assert trespasses("operators", SQL | HTTP | {f"{PACKAGE}.enrichment.tables"}, at_load=True) == []


def test_operators_write_no_sql() -> None:
    words = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE TABLE")
    for path in files("operators"):
        texts = [
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert [text for text in texts if text.lstrip().startswith(words)] == []


def test_the_hook_is_the_only_way_from_airflow_to_the_client() -> None:
    for room in ("operators", "enrichment"):
        assert trespasses(room, {f"{PACKAGE}.api.client", f"{PACKAGE}.api.transport"}) == []


def test_only_compat_knows_of_airflows_versions() -> None:
    # The demo only tells which one it ran on.
    others = [path for path in files("") if path.name != "compat.py" and path.parent.name != "demo"]
    asking = {path.name: compared(imports(path), NOT_IN_EVERY_AIRFLOW) for path in others}
    trying = {path.name: compared(optional_imports(path), AIRFLOW) for path in others}

    assert {name: found for name, found in asking.items() if found} == {}
    assert {name: found for name, found in trying.items() if found} == {}
    assert [
        path.name for path in others if "'task_state_store'" in ast.unparse(ast.parse(path.read_text()))
    ] == []


def test_only_the_wire_knows_kaleyras_keys() -> None:
    keys = ("deviceAddress", "mobile_number", "rcsEnabled", "/rcs/lookup", "api-key", "invalid_count")
    outside = [
        path
        for path in sorted(HOME.rglob("*.py"))
        if path.relative_to(HOME).parts[0] not in ("sandbox", "demo") and path.name != "wire.py"
    ]
    code = {path: ast.unparse(_without_docstrings(ast.parse(path.read_text()))) for path in outside}

    assert [(path.name, key) for path, text in code.items() for key in keys if key in text] == []


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(getattr(node, "body", None), list):
            node.body = [  # type: ignore[attr-defined]
                part
                for part in node.body  # type: ignore[attr-defined]
                if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ] or [ast.Pass()]
    return tree


def test_a_trespass_is_found(tmp_path: Path) -> None:
    path = tmp_path / "room.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import requests.types\n"
        "def late():\n    from airflow import models\n"
        "try:\n    import urllib3\nexcept ImportError:\n    pass\n"
    )

    assert set(imports(path)) == {"typing.TYPE_CHECKING", "airflow.models", "urllib3"}
    assert set(imports(path, at_load=True)) == {"typing.TYPE_CHECKING", "urllib3"}
    assert set(optional_imports(path)) == {"urllib3"}
