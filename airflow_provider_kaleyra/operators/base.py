"""What both operators share: parameters, templating, the summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator

from airflow_provider_kaleyra.compat import task_state_store
from airflow_provider_kaleyra.enrichment.job import NUMBER_COLUMN, Job
from airflow_provider_kaleyra.enrichment.kinds import Kind
from airflow_provider_kaleyra.errors import RateLimitedError
from airflow_provider_kaleyra.operators.lineage import Traced, leave
from airflow_provider_kaleyra.operators.numbers import (
    Concealed,
    conceal,
    conceal_parameters,
    conceal_query,
    revealed,
)
from airflow_provider_kaleyra.operators.runs import Service, failing_for_good, run_of
from airflow_provider_kaleyra.retries import default_policy

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_kaleyra.api.client import KaleyraClient
    from airflow_provider_kaleyra.api.models import Answer
    from airflow_provider_kaleyra.enrichment.run import Enrichment
    from airflow_provider_kaleyra.operators.ending import Ending


class EnrichmentOperator(Traced, BaseOperator):
    """Read numbers, look each up once, file the outcomes.

    :param kaleyra_conn_id: Airflow connection of type ``kaleyra``.
    :param numbers: the input as a list of text or ints, of rows (their first item) or of dicts (their
        ``number_column``), as JSON text of one, or as text with commas or new lines; also an XComArg.
        Rendered templates show a count in its place.
    :param sql_conn_id: Airflow connection of the database read and written.
    :param source_table: the input as a table, ``schema.table`` if need be.
    :param number_column: the column, or the dicts' key, that holds the numbers.
    :param where: SQL that chooses rows of ``source_table``, with ``:name`` placeholders. Rendered templates
        show numbers in it, or in ``sql``, masked.
    :param parameters: values of the placeholders in ``where`` or ``sql``.
    :param sql: the input as a SELECT, or a ``.sql`` file: its ``number_column``, else its first column.
    :param result_table: table that outcomes are filed in, made if missing; without it they are the XCom.
    :param result_conn_id: where results and ledger live, if not in the database of ``sql_conn_id``.
    :param ledger_conn_id: database of a ledger to keep although the output is the XCom.
    :param write_back: source column to outcome field: the source table's own columns to update too.
    :param columns: the answer's columns to keep, such as ``["country", "current_operator"]``; the others are
        stored nowhere. By default all; ``lookup_id`` and the columns of the asking are always kept.
    :param default_region: ISO country that numbers without a country code are read as of.
    :param assume_country_code: read digits without ``+`` as international.
    :param max_age: an answer in the ledger younger than this is reused, not bought; ``timedelta(0)`` always
        asks, ``None`` never asks again.
    :param max_lookups: ask about so many numbers at most in one run.
    :param in_doubt: ``"rebuy"`` or ``"hold"`` what may have been paid for without an answer.
    :param batch_size: numbers per request.
    :param max_workers: requests in flight.
    :param max_failed: the task fails, after filing everything, if more than this share of the asked numbers
        has no answer.
    :param on_invalid: ``"record"``, or ``"fail"`` before anything is bought.
    :param shard: ``(index, count)``: this task's share of the input.
    """

    template_fields: Sequence[str] = (
        "kaleyra_conn_id",
        "sql_conn_id",
        "result_conn_id",
        "ledger_conn_id",
        "numbers",
        "sql",
        "source_table",
        "where",
        "parameters",
        "result_table",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "where": "sql", "parameters": "json"}
    ui_color = "#e3f4f1"

    # What may hold numbers shows none of them where it is rendered, stored and shown.
    numbers = Concealed(conceal)
    parameters = Concealed(conceal_parameters)
    sql = Concealed(conceal_query)
    where = Concealed(conceal_query)

    kind: ClassVar[Kind]
    _enrichment: Enrichment | None = None
    _told_to_end = False
    _service: Service | None = None
    default_batch_size: ClassVar[int]
    least_batch: ClassVar[int] = 1

    def __init__(
        self,
        *,
        kaleyra_conn_id: str = "kaleyra_default",
        numbers: Any = None,
        sql_conn_id: str | None = None,
        source_table: str | None = None,
        number_column: str = NUMBER_COLUMN,
        where: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        sql: str | None = None,
        result_table: str | None = None,
        result_conn_id: str | None = None,
        ledger_conn_id: str | None = None,
        write_back: Mapping[str, str] | None = None,
        columns: Sequence[str] | None = None,
        default_region: str | None = None,
        assume_country_code: bool = False,
        max_age: timedelta | None = timedelta(days=30),
        max_lookups: int | None = None,
        in_doubt: str = "rebuy",
        batch_size: int | None = None,
        max_workers: int = 8,
        max_failed: float = 0.1,
        on_invalid: str = "record",
        shard: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        # Not setdefault: the partial of a mapped task passes None.
        if policy := kwargs.get("retry_policy") or default_policy():
            kwargs["retry_policy"] = policy
        super().__init__(**kwargs)
        self.kaleyra_conn_id = kaleyra_conn_id
        self.numbers = numbers
        self.sql_conn_id = sql_conn_id
        self.source_table = source_table
        self.number_column = number_column
        self.where = where
        self.parameters = parameters
        self.sql = sql
        self.result_table = result_table
        self.result_conn_id = result_conn_id
        self.ledger_conn_id = ledger_conn_id
        self.write_back = write_back
        self.columns = columns
        self.default_region = default_region
        self.assume_country_code = assume_country_code
        self.max_age = max_age
        self.max_lookups = max_lookups
        self.in_doubt = in_doubt
        self.batch_size = self.default_batch_size if batch_size is None else batch_size
        self.max_workers = max_workers
        self.max_failed = max_failed
        self.on_invalid = on_invalid
        self.shard = shard
        self._job().check(self.kind)

    def _job(self) -> Job:
        names = (field.name for field in fields(Job) if hasattr(self, field.name))
        return Job(**{name: revealed(getattr(self, name)) for name in names})

    def _ask(self, client: KaleyraClient) -> Callable[[Sequence[str]], Answer[Any]]:
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """Look the numbers up; give the summary, or without a result table the outcomes."""
        with failing_for_good():
            return self._conclude(self._enrich(context))

    def _enrich(self, context: Context, ending: Ending | None = None) -> Enrichment:
        """Run the pipeline, and tell what it came to, whatever ends it.

        :param ending: what is known of the run, if it is only to be brought to its end.
        """
        from airflow_provider_kaleyra.enrichment.assemble import assemble
        from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

        client = KaleyraHook(self.kaleyra_conn_id).get_conn()
        self._service = Service(client, self._ask(client))
        self._enrichment = enrichment = assemble(
            self._job(),
            self.kind,
            run_of(context),
            self._service,
            self.least_batch,
            task_state_store(context),
            ending.since if ending else None,
        )
        if self._told_to_end:
            enrichment.stop()
        try:
            if ending:
                ending.recall(enrichment)
            enrichment.execute()
            if ending:
                ending.carry(enrichment.summary)
        finally:
            summary = enrichment.summary.as_dict()
            context["ti"].xcom_push(key="summary", value=summary)
            leave(context, self._job(), self.kind, summary)
        return enrichment

    def _conclude(self, enrichment: Enrichment) -> Any:
        """Give what the task returns.

        :raises AirflowException: if too many numbers have no answer.
        """
        from airflow_provider_kaleyra.enrichment.checkpoint import Checkpoints
        from airflow_provider_kaleyra.enrichment.results import ListOutput

        if complaint := enrichment.summary.too_many_failed(self.max_failed):
            if self._service and (seconds := self._service.client.retry_after):
                raise RateLimitedError(complaint, retry_after=seconds)
            raise AirflowException(complaint)
        if isinstance(enrichment.memory, Checkpoints):
            enrichment.memory.end()
        if isinstance(enrichment.output, ListOutput):
            return enrichment.output.rows()
        return enrichment.summary.as_dict()

    def on_kill(self) -> None:
        """Ask nothing more; what is in flight is still awaited and filed."""
        # While the task prepares there is nothing to stop yet.
        self._told_to_end = True
        if self._enrichment is not None:
            self._enrichment.stop()
