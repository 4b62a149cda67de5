"""Numbers that users give as parameters, kept out of what Airflow renders, stores and shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from airflow.providers.common.compat.sdk import XComArg

from airflow_provider_kaleyra.phone import mask_text


class Numbers:
    """Numbers that are known, or what holds some. Where Airflow shows them, a count stands."""

    def __init__(self, value: Any, what: str = "numbers") -> None:
        self.value = value
        self.what = what

    def __str__(self) -> str:
        if isinstance(self.value, str):
            return f"{self.what} as text"
        try:
            return f"{len(self.value):,} {self.what}"
        except TypeError:
            return self.what

    __repr__ = __str__

    def serialize(self) -> str:
        """Give Airflow the count in place of the numbers."""
        return str(self)


class Parameters(Numbers):
    """Parameters of a query. Where Airflow shows them, the numbers among them are masked."""

    def __str__(self) -> str:
        return mask_text(json.dumps(self.value, default=str))

    __repr__ = __str__


class Template(Numbers):
    """Numbers beside a template, or in one."""

    def __call__(self, context: Any, jinja_env: Any) -> Any:
        """Render the value: Airflow renders no objects, and calls those that can be called."""
        return context["task"].render_template(self.value, context, jinja_env)


class ParametersTemplate(Parameters, Template):
    """Parameters of a query, a template among them."""


class Query(Template):
    """A query, or a part of one. Where Airflow shows it, the numbers in it are masked."""

    def __str__(self) -> str:
        return mask_text(self.value)

    __repr__ = __str__


class Concealed:
    """An attribute whose values are wrapped as they are set.

    :param wrap: gives the value to keep.
    """

    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        self._wrap = wrap

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else getattr(instance, self._name)

    def __set__(self, instance: Any, value: Any) -> None:
        setattr(instance, self._name, self._wrap(value))


def conceal(value: Any, what: str = "numbers") -> Any:
    """Wrap numbers that are known; what Airflow has yet to resolve is without any as it stands."""
    return _wrapped(value, partial(Numbers, what=what), partial(Template, what=what))


def conceal_parameters(value: Any) -> Any:
    """Wrap parameters that are known."""
    return _wrapped(value, Parameters, ParametersTemplate)


def conceal_query(value: Any) -> Any:
    """Wrap a text with a number in it, but not a file's name: in its place Airflow puts what is in it."""
    is_text = isinstance(value, str) and not value.endswith(".sql")
    return Query(value) if is_text and mask_text(value) != value else value


def revealed(value: Any) -> Any:
    """Take the wrapper off."""
    return value.value if isinstance(value, Numbers) else value


def _wrapped(value: Any, known: Callable[[Any], Any], template: Callable[[Any], Any]) -> Any:
    # A reference to another task has to be seen by Airflow.
    if value is None or isinstance(value, Numbers) or _anywhere(value, _is_reference):
        return value
    if not _anywhere(value, _is_template):
        return known(value)
    return template(value) if mask_text(str(value)) != str(value) else value


def _anywhere(value: Any, is_meant: Callable[[Any], bool]) -> bool:
    if isinstance(value, (list, tuple, set)):
        return any(_anywhere(item, is_meant) for item in value)
    if isinstance(value, dict):
        return any(_anywhere(item, is_meant) for item in value.values())
    return is_meant(value)


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def _is_reference(value: Any) -> bool:
    return isinstance(value, XComArg) or hasattr(value, "iter_references")
