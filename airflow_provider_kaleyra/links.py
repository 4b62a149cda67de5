"""Links from a task instance: to Kaleyra's documentation, and to the run report."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink, conf

from airflow_provider_kaleyra.compat import HAS_PAGES

KALEYRA_DOCUMENTATION = "https://developers.kaleyra.io/"


class KaleyraDocumentationLink(BaseOperatorLink):
    """To Kaleyra's developer documentation, where the pages that the operators rest on are."""

    name = "Kaleyra documentation"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        """Give the address; it is the same for every task."""
        return KALEYRA_DOCUMENTATION


class RunReportLink(BaseOperatorLink):
    """To the report of this task instance."""

    name = "Run report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        """Give the report's address; Airflow 2 has no place for the page, and gets none.

        :param ti_key: on Airflow 3 the running task instance, before it the key of one.
        """
        if not HAS_PAGES:
            return ""
        return report_url(
            dag_id=ti_key.dag_id,
            task_id=ti_key.task_id,
            run_id=ti_key.run_id,
            map_index=-1 if ti_key.map_index is None else ti_key.map_index,
        )


def report_url(*, absolute: bool = True, **task_instance: Any) -> str:
    """Give the address of the report of a task instance, or without one of the list of runs.

    :param absolute: with scheme and host, where ``[api] base_url`` tells them.
    """
    base = (conf.get("api", "base_url", fallback="") or "").rstrip("/")
    page = f"run?{urlencode(task_instance)}" if task_instance else ""
    return f"{base if absolute else urlsplit(base).path}/kaleyra/{page}"
