"""Waiting for submitted lookups in the triggerer. It asks by id, which is free, and has no way to buy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import AirflowException
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_kaleyra.errors import ConfigurationError, KaleyraError, SetupError, StillPendingError

if TYPE_CHECKING:
    from airflow_provider_kaleyra.enrichment.waiting import Waiting

STATUSES = ("success", "timeout", "error")


class LookupDetailsTrigger(BaseTrigger):
    """Ask about pending lookups in rounds until none is pending, or the deadline has passed.

    With a table, outcomes are filed as they come; without one, the task asks once more when all are done.
    A trigger that runs twice changes nothing: a row is settled while it is pending, and only then.

    :param kaleyra_conn_id: Airflow connection of type ``kaleyra``.
    :param poll_interval: seconds after the first round; later rounds wait longer.
    :param deadline: when to give up, in seconds of the epoch.
    :param max_interval: the longest wait between rounds; by default ten times ``poll_interval``.
    :param max_workers: requests in flight.
    :param lookup_ids: what to ask about, unless a table says it.
    :param sql_conn_id: Airflow connection of the table's database.
    :param result_table: table whose pending rows are asked about.
    :param run_id: only the rows of this run.
    :param columns: the answer's columns to file; by default all that the table has.
    """

    def __init__(
        self,
        *,
        kaleyra_conn_id: str,
        poll_interval: float,
        deadline: float,
        max_interval: float | None = None,
        max_workers: int = 8,
        lookup_ids: Sequence[str] | None = None,
        sql_conn_id: str | None = None,
        result_table: str | None = None,
        run_id: str | None = None,
        columns: Collection[str] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kaleyra_conn_id = kaleyra_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.max_interval = max_interval
        self.max_workers = max_workers
        self.lookup_ids = None if lookup_ids is None else list(lookup_ids)
        self.sql_conn_id = sql_conn_id
        self.result_table = result_table
        self.run_id = run_id
        self.columns = None if columns is None else sorted(columns)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give Airflow what it starts the trigger again from: names of connections and plain values."""
        names = (
            "kaleyra_conn_id",
            "poll_interval",
            "deadline",
            "max_interval",
            "max_workers",
            "lookup_ids",
            "sql_conn_id",
            "result_table",
            "run_id",
            "columns",
        )
        path = f"{LookupDetailsTrigger.__module__}.{LookupDetailsTrigger.__name__}"
        return path, {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: ``status`` is ``success``, ``timeout`` or ``error``; it holds no number."""
        waiting: Waiting | None = None
        # A thread of its own: neither the loop nor the threads that triggers share are held up.
        with_thread = ThreadPoolExecutor(1, thread_name_prefix="kaleyra-trigger")
        try:
            kaleyra, database = await self._connections()
            waiting = await _in(with_thread, self._waiting, kaleyra, database)
            steps = waiting.rounds(self.poll_interval, self.deadline, self.max_interval)
            while (seconds := await _in(with_thread, next, steps, None)) is not None:
                await asyncio.sleep(seconds)
            event = self._event("success", waiting)
        except StillPendingError as error:
            event = self._event("timeout", waiting, error)
        except Exception as error:
            # Airflow would tell the user of an exception from here no more than that there was one.
            event = self._event("error", waiting, error)
        finally:
            # Also when the trigger is cancelled: so that its thread ends soon.
            if waiting is not None:
                waiting.stop()
            with_thread.shutdown(wait=False, cancel_futures=True)
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _connections(self) -> tuple[Any, Any]:
        kaleyra = await get_async_connection(self.kaleyra_conn_id)
        return kaleyra, await get_async_connection(self.sql_conn_id) if self.sql_conn_id else None

    def _waiting(self, kaleyra: Any, database: Any) -> Waiting:
        from airflow_provider_kaleyra.enrichment.waiting import PendingList, Question, Waiting
        from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

        pending: Any
        if self.result_table is None:
            pending = PendingList(Question(lookup_id) for lookup_id in self.lookup_ids or ())
        else:
            from airflow_provider_kaleyra.enrichment.database import engine_of
            from airflow_provider_kaleyra.enrichment.kinds import NUMBER
            from airflow_provider_kaleyra.enrichment.pending import PendingTable

            engine = engine_of(str(self.sql_conn_id), database)
            pending = PendingTable(engine, self.result_table, self.run_id, NUMBER.only(self.columns))
        return Waiting(KaleyraHook.client_of(kaleyra), pending, self.max_workers)

    def _event(self, status: str, waiting: Waiting | None, error: Exception | None = None) -> dict[str, Any]:
        # The text of an error that is not ours may hold a number.
        known = isinstance(error, KaleyraError)
        message = str(error) if known else f"Waiting for lookups failed: {type(error).__name__}"
        return {
            "status": status,
            "message": "" if error is None else message,
            "for_good": isinstance(error, SetupError),
            "deadline": self.deadline,
            "requests": waiting.requests_sent if waiting else 0,
            **(waiting.last.as_dict() if waiting else {}),
        }


def read_event(event: Any) -> dict[str, Any]:
    """Give a trigger's event if it says how the waiting ended.

    :raises AirflowException: if it is missing, unknown, or tells of an error.
    :raises ConfigurationError: if it tells of an error that no retry can help.
    """
    status = event.get("status") if isinstance(event, dict) else None
    if status not in STATUSES:
        raise AirflowException(
            f"LookupDetailsTrigger ended without an event that can be understood: {status!r}. What came is "
            "filed, and the next try goes on waiting"
        )
    if status == "error":
        raise (ConfigurationError if event.get("for_good") else AirflowException)(str(event.get("message")))
    return {"message": "", "requests": 0, "deadline": 0.0, **event}


async def _in(pool: ThreadPoolExecutor, function: Any, *args: Any) -> Any:
    """Call a function in a thread, with what logging knows of the trigger.

    By asgiref, as Airflow does it: what a connection tells Airflow's supervisor then goes through the loop.
    From a thread of another's making it crosses the loop's own words, and Airflow 3.1's triggerer ends.
    """
    return await sync_to_async(function, thread_sensitive=False, executor=pool)(*args)
