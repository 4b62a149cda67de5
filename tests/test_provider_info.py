"""What Airflow is told of the provider, and what it makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import jsonschema
import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_2_PLUS
from airflow.providers_manager import ProvidersManager

from airflow_provider_kaleyra import __version__
from airflow_provider_kaleyra.api.config import EXTRAS, ClientConfig
from airflow_provider_kaleyra.errors import ConfigurationError
from airflow_provider_kaleyra.get_provider_info import CONNECTION_FORM, get_provider_info
from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook

ACCOUNT = {"login": "SID", "password": "key"}
FIELDS = CONNECTION_FORM["conn-fields"]

NEEDS_APPBUILDER = "Flask-AppBuilder, with which Airflow 2 draws its connection form, is not installed"


def _schema(name: str) -> dict[str, Any]:
    return json.loads(files("airflow").joinpath(name).read_text())


def _named_modules(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value.get("python-modules", [])
        for inner in value.values():
            yield from _named_modules(inner)
    if isinstance(value, list):
        for inner in value:
            yield from _named_modules(inner)


def _said(code: str, mark: str) -> str:
    """Run `code` in a new interpreter; give the line that it prints after `mark`."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # Airflow logs to the same stream.
    (line,) = (line for line in run.stdout.splitlines() if line.startswith(f"{mark} "))
    return line.removeprefix(f"{mark} ")


def _modules_gained(code: str, after: str = "") -> set[str]:
    """Tell which modules a new interpreter loads for `code`, beyond those of `after`."""
    script = (
        f"import sys\n{after}\nbefore = set(sys.modules)\n{code}\nprint('gained', *set(sys.modules) - before)"
    )
    return set(_said(script, "gained").split())


def test_provider_info_is_valid_in_airflows_schema() -> None:
    jsonschema.validate(get_provider_info(), _schema("provider_info.schema.json"))


def test_connection_form_is_valid_in_airflows_schema() -> None:
    connection_types = _schema("provider.yaml.schema.json")["properties"]["connection-types"]
    jsonschema.validate([CONNECTION_FORM], connection_types)


@pytest.mark.parametrize("module", sorted(set(_named_modules(get_provider_info()))))
def test_named_module_imports(module: str) -> None:
    import_module(module)


def test_named_hook_class_is_the_hook() -> None:
    module, _, name = CONNECTION_FORM["hook-class-name"].rpartition(".")
    assert getattr(import_module(module), name) is KaleyraHook


def test_every_extra_of_the_connection_is_in_the_form() -> None:
    assert set(FIELDS) == EXTRAS


def test_form_left_as_it_is_gives_the_client_of_a_connection_without_extras() -> None:
    untouched = {name: field["schema"].get("default") for name, field in FIELDS.items()}
    assert ClientConfig.parse(**ACCOUNT, extra=untouched) == ClientConfig.parse(**ACCOUNT)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ({"verify": "false"}, {"verify": False}),
        ({"proxies": '{"https": "http://proxy:3128"}'}, {"proxies": {"https": "http://proxy:3128"}}),
        ({"timeout": "20"}, {"timeout": 20}),
        ({"requests_per_second": "2.5"}, {"requests_per_second": 2.5}),
    ],
    ids=lambda value: next(iter(value)),
)
def test_text_typed_into_the_form_is_read_as_the_value_it_means(
    typed: dict[str, str], meant: dict[str, Any]
) -> None:
    assert ClientConfig.parse(**ACCOUNT, extra=typed) == ClientConfig.parse(**ACCOUNT, extra=meant)


@pytest.mark.parametrize("value", [-1, 0, 0.5, 500, 1_000_000, 1_000_001])
def test_form_and_client_agree_on_the_requests_per_second(value: float) -> None:
    def allowed(check: Callable[[], object]) -> bool:
        try:
            check()
        except (jsonschema.ValidationError, ConfigurationError):
            return False
        return True

    schema = FIELDS["requests_per_second"]["schema"]
    assert allowed(lambda: jsonschema.validate(value, schema)) is allowed(
        lambda: ClientConfig.parse(**ACCOUNT, extra={"requests_per_second": value})
    )


def test_providers_manager_sees_the_provider_and_its_version() -> None:
    assert ProvidersManager().providers["airflow-provider-kaleyra"].version == __version__


def test_providers_manager_sees_the_hook() -> None:
    hook = ProvidersManager().hooks["kaleyra"]
    assert hook is not None
    assert (hook.hook_name, hook.hook_class_name, hook.connection_id_attribute_name) == (
        "Kaleyra",
        "airflow_provider_kaleyra.hooks.kaleyra.KaleyraHook",
        "kaleyra_conn_id",
    )
    assert hook.connection_testable


@pytest.mark.skipif(not AIRFLOW_V_3_2_PLUS and not find_spec("flask_appbuilder"), reason=NEEDS_APPBUILDER)
def test_providers_manager_sees_the_forms_fields() -> None:
    widgets = ProvidersManager().connection_form_widgets
    assert {name for name in widgets if name.startswith("extra__kaleyra__")} == {
        f"extra__kaleyra__{name}" for name in FIELDS
    }


@pytest.mark.skipif(not AIRFLOW_V_3_2_PLUS and not find_spec("flask_appbuilder"), reason=NEEDS_APPBUILDER)
def test_providers_manager_sees_the_standard_fields_labels() -> None:
    seen = ProvidersManager().field_behaviours["kaleyra"]
    assert seen["relabeling"] == CONNECTION_FORM["ui-field-behaviour"]["relabeling"]


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 draws its form by itself")
def test_the_ui_is_given_the_form() -> None:
    code = (
        "from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService\n"
        "forms = {form.connection_type: form for form in HookMetaService.hook_meta_data()}\n"
        "print('form', forms['kaleyra'].model_dump_json())"
    )
    # A process of its own: before 3.2 the API lends hooks what it draws with, the first time they are read.
    form = json.loads(_said(code, "form"))

    assert {
        name: (field["schema"]["title"], field["description"]) for name, field in form["extra_fields"].items()
    } == {name: (field["label"], field["description"]) for name, field in FIELDS.items()}
    labels = CONNECTION_FORM["ui-field-behaviour"]["relabeling"]
    assert {name: form["standard_fields"][name]["title"] for name in labels} == labels
    assert form["standard_fields"]["url_schema"]["hidden"]


@pytest.mark.skipif(find_spec("flask_appbuilder") is None, reason=NEEDS_APPBUILDER)
def test_hooks_own_form_has_the_same_fields() -> None:
    drawn = {
        name: (widget.args[0], widget.kwargs["description"])
        for name, widget in KaleyraHook.get_connection_form_widgets().items()
    }
    assert drawn == {name: (field["label"], field["description"]) for name, field in FIELDS.items()}


def test_hooks_own_field_behaviour_is_the_same() -> None:
    drawn = {name.replace("_", "-"): value for name, value in KaleyraHook.get_ui_field_behaviour().items()}
    assert drawn == CONNECTION_FORM["ui-field-behaviour"]


def test_importing_the_package_loads_nothing_else() -> None:
    assert _modules_gained("import airflow_provider_kaleyra") == {"airflow_provider_kaleyra"}


def test_importing_the_operators_loads_nothing_heavy() -> None:
    """A DAG file is parsed again and again: what only a running task needs must not load there."""
    info = get_provider_info()
    modules = sorted(set(_named_modules([info["operators"], info.get("sensors", [])])))
    gained = _modules_gained(
        f"import {', '.join(modules)}",
        after=(
            "from airflow.providers.common.compat.sdk import BaseHook, BaseOperator\n"
            "from airflow.providers.common.sql.hooks.sql import DbApiHook"
        ),
    )
    assert "airflow_provider_kaleyra.operators.rcs" in gained
    libraries = {"phonenumbers", "pandas", "aiohttp", "requests", "sqlalchemy", "pyrate_limiter", "redis"}
    assert not gained & {*libraries, "airflow_provider_kaleyra.sandbox"}
