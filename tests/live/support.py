"""What the tests of real deployments share."""

from __future__ import annotations

from airflow_provider_kaleyra.sandbox import Sandbox
from tests.live.deployment import Airflow
from tests.support.leaks import Leaks


def shown_numbers(airflow: Airflow, sandbox: Sandbox) -> list[str]:
    """Give the lines in the logs of tasks and components that hold a number or the key in full."""
    leaks = Leaks()
    leaks.watch(number for request in sandbox.account.requests for number in request.numbers)
    leaks.watch([sandbox.api_key])
    assert leaks.watched
    return list(leaks.found(airflow.folder))
