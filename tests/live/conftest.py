"""Tests of real deployments: `pytest -m live`."""

from __future__ import annotations

import pytest

from tests.live.deployment import Airflow


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Show the components' logs where a test failed."""
    report = yield
    airflow = getattr(item, "funcargs", {}).get("airflow")
    if report.failed and isinstance(airflow, Airflow):
        report.sections.append(("Airflow's components", airflow.tails()))
    return report
