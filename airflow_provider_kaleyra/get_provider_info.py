"""What Airflow asks of a provider: its parts, and how its connection looks in the UI."""

from __future__ import annotations

from typing import Any

CONNECTION_FORM: dict[str, Any] = {
    "connection-type": "kaleyra",
    "hook-class-name": "airflow_provider_kaleyra.hooks.kaleyra.KaleyraHook",
    "hook-name": "Kaleyra",
    "ui-field-behaviour": {
        # The host may name it.
        "hidden-fields": ["schema"],
        "relabeling": {"login": "Account SID", "password": "API key", "host": "Number lookup host"},
        "placeholders": {
            "login": "HXAP16XXXXXX97IN",
            "password": "Ac4XXXXX21f",
            "host": "empty: https://api.kaleyra.io, or the pod's",
            "port": "443",
        },
    },
    "conn-fields": {
        "pod": {
            "label": "Pod",
            "description": "Region of the number lookup API: in, ap, eu, … Empty for https://api.kaleyra.io.",
            "schema": {"type": ["string", "null"], "default": "", "pattern": "^[a-z0-9-]*$"},
        },
        "rcs_pod": {
            "label": "RCS pod",
            "description": "Region of the RCS API. Empty for na.",
            "schema": {"type": ["string", "null"], "default": "na", "pattern": "^[a-z0-9-]*$"},
        },
        "rcs_host": {
            "label": "RCS host",
            "description": "Base URL of the RCS API, instead of the RCS pod's.",
            "schema": {"type": ["string", "null"], "default": ""},
        },
        "timeout": {
            "label": "Timeout (seconds)",
            "description": "How long to wait for an answer; connecting has its own 10 seconds.",
            "schema": {"type": ["number", "null"], "default": 60, "minimum": 1},
        },
        "requests_per_second": {
            "label": "Requests per second",
            "description": "Ceiling of this connection over any second and all threads. Empty: none.",
            "schema": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1_000_000},
        },
        "burst": {
            "label": "Burst",
            "description": "How many requests may leave at once after a pause. Empty: 1, all evenly.",
            "schema": {"type": ["integer", "null"], "minimum": 1, "maximum": 1_000_000},
        },
        "shared_limit": {
            "label": "Shared limit",
            "description": (
                "Where several processes keep requests per second together: a redis:// or postgresql:// URL, "
                "or the path of a SQLite file for one machine. Empty: each process by itself."
            ),
            "schema": {"type": ["string", "null"], "default": ""},
        },
        # Both are text that the client reads: the form keeps one kind of value a field, they have several.
        "verify": {
            "label": "Verify TLS",
            "description": "true, false, or the path of a file of certificate authorities.",
            "schema": {"type": ["string", "null"], "default": "true"},
        },
        "proxies": {
            "label": "Proxies",
            "description": 'A URL, JSON such as {"https": "http://proxy:3128"}, or environment. Empty: none.',
            # Airflow takes a field of this name for a secret, and would show a default of it as ***.
            "schema": {"type": ["string", "null"]},
        },
        "lookup_details_path": {
            "label": "Lookup details path",
            "description": "Path of GET Lookup Details by Lookup ID, with {sid} and {lookup_id}.",
            "schema": {"type": ["string", "null"], "default": "/v1/{sid}/lookup/get-info/{lookup_id}"},
        },
    },
}
"""The connection form, in the words of Airflow's provider schema; the hook gives older versions the same."""


def get_provider_info() -> dict[str, Any]:
    """Describe this provider to Airflow."""
    integration = "Kaleyra"
    package = "airflow_provider_kaleyra"
    return {
        "package-name": "airflow-provider-kaleyra",
        "name": integration,
        "description": "RCS capability and number lookups by `Kaleyra <https://www.kaleyra.com/>`__.",
        "integrations": [
            {
                "integration-name": integration,
                "external-doc-url": "https://developers.kaleyra.io/",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": integration,
                "python-modules": [f"{package}.operators.rcs", f"{package}.operators.number_lookup"],
            }
        ],
        "sensors": [
            {"integration-name": integration, "python-modules": [f"{package}.sensors.lookup_details"]}
        ],
        "triggers": [
            {"integration-name": integration, "python-modules": [f"{package}.triggers.lookup_details"]}
        ],
        "hooks": [{"integration-name": integration, "python-modules": [f"{package}.hooks.kaleyra"]}],
        "connection-types": [CONNECTION_FORM],
        "extra-links": [f"{package}.links.KaleyraDocumentationLink", f"{package}.links.RunReportLink"],
    }
