"""The run report's place in Airflow's UI, on Airflow 3. On 2.11 the plugin adds nothing."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_provider_kaleyra.links import report_url


class _Pages:
    """The report's FastAPI app, loaded when it is first asked: schedulers and workers load plugins too."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from airflow_provider_kaleyra.report.app import app

        await app(scope, receive, send)


class RunReportPlugin(AirflowPlugin):
    """Serves the report, and lists it in the UI under "Browse"."""

    name = "kaleyra_run_report"
    fastapi_apps: list[Any] = [{"name": "Kaleyra run report", "app": _Pages(), "url_prefix": "/kaleyra"}]  # noqa: RUF012
    external_views: list[Any] = [  # noqa: RUF012
        {
            "name": "Kaleyra runs",
            "href": report_url(absolute=False),
            "destination": "nav",
            "category": "browse",
            "url_route": "kaleyra",
        }
    ]
