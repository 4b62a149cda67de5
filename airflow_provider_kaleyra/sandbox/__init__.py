"""A local stand-in for Kaleyra's RCS and number lookup services, for tests and for trying things out.

`Sandbox` needs the extra `sandbox` (aiohttp); it is loaded when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_kaleyra.sandbox.account import Account, Request
    from airflow_provider_kaleyra.sandbox.faults import KINDS, Fault
    from airflow_provider_kaleyra.sandbox.models import Subscriber, subscriber
    from airflow_provider_kaleyra.sandbox.server import Sandbox

__all__ = ["KINDS", "Account", "Fault", "Request", "Sandbox", "Subscriber", "subscriber"]

_HOME = {
    "Account": "account",
    "Request": "account",
    "KINDS": "faults",
    "Fault": "faults",
    "Subscriber": "models",
    "subscriber": "models",
    "Sandbox": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
