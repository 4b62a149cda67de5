"""The name of the machine that a process stands for: Airflow's `hostname_callable` in these deployments."""

from __future__ import annotations

import os


def name() -> str:
    return os.environ.get("LIVE_MACHINE", "head")
