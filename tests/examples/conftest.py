from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _airflow(airflow_db: None) -> None:
    """Every test here runs an example through Airflow."""
