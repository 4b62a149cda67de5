"""What a run is to Airflow, and to the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kaleyra.errors import SetupError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kaleyra.api.client import KaleyraClient
    from airflow_provider_kaleyra.api.models import Answer
    from airflow_provider_kaleyra.enrichment.memory import Run


@contextmanager
def failing_for_good() -> Iterator[None]:
    """Fail the task without a retry where none can help before a person has acted."""
    try:
        yield
    except SetupError as error:
        raise AirflowFailException(str(error)) from None


def run_of(context: Context) -> Run:
    """Give the run that a task instance is, in all its tries."""
    from airflow_provider_kaleyra.enrichment.memory import Run

    ti = context["ti"]
    return Run(f"{ti.dag_id}/{ti.task_id}/{ti.run_id}", -1 if ti.map_index is None else ti.map_index)


@dataclass(frozen=True)
class Service:
    """What the pipeline asks: a client, by one of its questions."""

    client: KaleyraClient
    ask: Callable[[Sequence[str]], Answer[Any]]

    def stop(self) -> None:
        """Let no request leave any more."""
        self.client.stop()

    @property
    def requests_sent(self) -> int:
        """How many requests left so far."""
        return self.client.requests_sent
