"""In what the supported versions of Airflow differ; no other module asks for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

try:
    from airflow.sdk import RetryDecision as RetryDecision
    from airflow.sdk import RetryPolicy as RetryPolicy
except ImportError:
    # Before 3.3.
    RetryDecision = RetryPolicy = None  # type: ignore[assignment,misc]

HAS_PAGES = AIRFLOW_V_3_0_PLUS
"""Whether the UI shows a plugin's pages."""


def task_state_store(context: Mapping[str, Any]) -> Any:
    """Give what a task keeps from one try to the next, or ``None`` before 3.3."""
    return context.get("task_state_store")


def form_widgets(fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Give the fields of a connection form as widgets, of which Airflow before 3.2 makes it."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import StringField

    return {
        name: StringField(field["label"], description=field["description"], widget=BS3TextFieldWidget())
        for name, field in fields.items()
    }


def openlineage_run_facet(name: str, values: Mapping[str, Any]) -> Any:
    """Give OpenLineage values as a facet of a run.

    :return: an ``OperatorLineage``, or ``None`` where Airflow's OpenLineage provider is not installed.
    """
    try:
        # Slow to import, so not before it is asked for.
        import attr
        from airflow.providers.openlineage.extractors import OperatorLineage
        from openlineage.client.facet_v2 import RunFacet
    except ImportError:
        return None
    title = "".join(word.capitalize() for word in name.split("_"))
    fields = {field: attr.ib(default=None) for field in values}
    facet = attr.make_class(f"{title}RunFacet", fields, bases=(RunFacet,), kw_only=True)
    return OperatorLineage(run_facets={name: facet(**values)})
