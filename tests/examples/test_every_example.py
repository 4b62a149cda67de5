"""What holds of every example DAG."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.examples import FOLDER, load_example

FILES = sorted(FOLDER.glob("*.py"))
NAMES = [path.stem for path in FILES]
DOCS = FOLDER.parent / "docs"

every_example = pytest.mark.parametrize("name", NAMES)


def test_every_example_has_a_file_of_tests_that_runs_it() -> None:
    assert len(NAMES) > 4
    for name in NAMES:
        assert f'run_example("{name}")' in Path(__file__).with_name(f"test_{name}.py").read_text()


@every_example
def test_an_example_is_named_as_its_file(name: str) -> None:
    assert load_example(name).dag_id == name


def regions(text: str) -> Iterator[str]:
    yield from re.findall(r"# \[START (\w+)\]", text)


@every_example
def test_every_region_is_closed_and_shown_in_the_documentation(name: str) -> None:
    pages = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    marked = list(regions(text))
    assert marked
    for region in marked:
        assert f"# [END {region}]" in text
        assert re.search(
            rf"literalinclude\}} \.\./example_dags/{name}\.py\n:language: python\n"
            rf':start-after: "# \[START {region}\]"\n:end-before: "# \[END {region}\]"',
            pages,
        ), region


@every_example
def test_the_index_leads_to_the_example(name: str) -> None:
    assert f"(../example_dags/{name}.py)" in (DOCS / "index.md").read_text(encoding="utf-8")
