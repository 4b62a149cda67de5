"""`python -m tests.benchmarks`."""

from __future__ import annotations

import pytest

from tests.benchmarks import __main__ as command


def test_missing_extra_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", "imports"])
    monkeypatch.setattr(command, "COMPARED_WITH", ("json", "airflow.no_such", "no_such.package"))

    with pytest.raises(SystemExit) as ended:
        command.main()

    assert ended.value.code == (
        "Missing: airflow.no_such, no_such.package. Install the extra dev of airflow-provider-kaleyra"
    )
