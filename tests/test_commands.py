"""The commands on the pages, typed into a shell as they stand there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_kaleyra.sandbox import Sandbox
from tests.test_docs import blocks, page, rows

INSTALLED = ("pip install", "kaleyra-sandbox")
"""How blocks begin that bring what is there already in a test."""


def cell(shown: str) -> str:
    """Give a cell of a page's table as Python prints it."""
    return "None" if not shown else shown if shown == "1" else repr(shown)


def typed(script: str, folder: Path) -> str:
    """Run lines in a shell of somebody who has no Airflow yet; give what they print."""
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env={**theirs, "HOME": str(folder), "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_first_page_typed_in_by_a_newcomer_ends_with_the_table_that_it_shows(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    text = page("start").replace("127.0.0.1:8700", f"127.0.0.1:{sandbox.port}")
    text = text.replace("127.0.0.1%3A8700", f"127.0.0.1%3A{sandbox.port}")
    (dag,) = blocks(text, "python")
    dags = tmp_path / "airflow" / "dags"
    dags.mkdir(parents=True)
    (dags / "contacts.py").write_text(dag)
    steps = [block for block in blocks(text, "sh") if not block.startswith(INSTALLED)]
    assert len(steps) == 5

    said = typed("\n".join(steps), tmp_path)

    assert said.count("4 inputs, 2 distinct numbers: 2 invalid, 0 reused, 2 ok") == 2
    table = rows(text.split("SELECT phone, rcs, carrier")[1])
    shown = [f"({n}, {', '.join(map(cell, row))})" for n, row in enumerate(table, 1)]
    assert said.splitlines()[-4:] == shown
    assert sandbox.account.purchases["number"] == sandbox.account.purchases["rcs"] != {}


@pytest.mark.skipif(
    not shutil.which("curl"), reason="curl is missing: the stand-in's commands were not typed"
)
def test_the_stand_in_takes_every_command_of_its_page(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page("sandbox").replace("127.0.0.1:8700", f"127.0.0.1:{sandbox.port}")
    steps = [block for block in blocks(text, "sh") if not block.startswith(INSTALLED)]
    assert len(steps) == 3

    for name in ("details_seconds", "pending_shape"):
        monkeypatch.setattr(sandbox.settings, name, getattr(sandbox.settings, name))
    typed("curl() { command curl --noproxy '*' --fail-with-body \"$@\"; }\n" + "\n".join(steps), tmp_path)

    assert (sandbox.settings.details_seconds, sandbox.settings.pending_shape) == (30, "404")
