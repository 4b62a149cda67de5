"""The deployments' `airflow_local_settings`: what every task imports, imported once, before they are forked.

Only to be quick: it halves what a task costs.
"""

from __future__ import annotations

# ruff: noqa: F401
import sys

if not {"scheduler", "celery"}.isdisjoint(sys.argv):
    import airflow.providers.postgres.hooks.postgres
    import airflow.providers.sqlite.hooks.sqlite

    import airflow_provider_kaleyra.enrichment.assemble
    import airflow_provider_kaleyra.hooks.kaleyra
    import airflow_provider_kaleyra.operators.number_lookup
    import airflow_provider_kaleyra.operators.rcs
    import tests.support.moments
    from airflow_provider_kaleyra import phone

    phone.read("+12015550123")
