"""What the user asked of an operator, and whether it can be meant. Light: read when a DAG is parsed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from airflow_provider_kaleyra.enrichment.kinds import Kind
from airflow_provider_kaleyra.errors import ConfigurationError

NUMBER_COLUMN = "phone_number"
"""The column, or the dicts' key, that holds the numbers if the user names none."""
MOST_WORKERS = 256
MOST_NUMBERS_IN_REQUEST = 500


@dataclass(frozen=True)
class Job:
    """The parameters of an operator; its documentation says what each means."""

    numbers: Any
    sql_conn_id: str | None
    source_table: str | None
    number_column: str
    where: str | None
    parameters: Mapping[str, Any] | None
    sql: str | None
    result_table: str | None
    result_conn_id: str | None
    ledger_conn_id: str | None
    write_back: Mapping[str, str] | None
    columns: Sequence[str] | None
    default_region: str | None
    assume_country_code: bool
    max_age: timedelta | None
    max_lookups: int | None
    in_doubt: str
    batch_size: int
    max_workers: int
    max_failed: float
    on_invalid: str
    shard: Sequence[int] | None
    max_price: Decimal | None = None
    mode: str = "realtime"
    wait_for_completion: bool = False
    poll_interval: float = 30
    wait_timeout: float = 86_400

    @property
    def output_conn_id(self) -> str | None:
        """The connection of the database in which ledger and results live, if there is one."""
        return (self.result_conn_id or self.sql_conn_id) if self.result_table else self.ledger_conn_id

    def check(self, kind: Kind) -> None:
        """Refuse what cannot be meant.

        :param kind: the API whose answers ``columns`` and ``write_back`` may name.
        :raises ConfigurationError: naming the parameters.
        """
        for wrong, message in (*self._combinations(), *self._values()):
            if wrong:
                raise ConfigurationError(message)
        check_columns(self.columns, kind)
        written = set((self.write_back or {}).values())
        if strange := written.difference(kind.result_columns):
            raise ConfigurationError(
                f"write_back names outcome fields that there are not: {_listed(strange)}. "
                f"There are {', '.join(kind.result_columns)}"
            )
        if unfiled := written & kind.only(self.columns).left_out:
            raise ConfigurationError(
                f"write_back names outcome fields that columns leaves out: {_listed(unfiled)}"
            )

    def _combinations(self) -> list[tuple[bool, str]]:
        inputs = {"numbers": self.numbers, "source_table": self.source_table, "sql": self.sql}
        given = [name for name, value in inputs.items() if value is not None]
        from_sql = self.source_table is not None or self.sql is not None
        return [
            (
                len(given) != 1,
                "Give exactly one of numbers, source_table and sql"
                + (f", not {' and '.join(given)}" if given else ": none is given"),
            ),
            (
                from_sql and self.sql_conn_id is None,
                f"{given[-1] if given else ''} needs sql_conn_id, the Airflow connection of its database",
            ),
            (
                self.result_table is not None and self.sql_conn_id is None and self.result_conn_id is None,
                "result_table needs sql_conn_id or result_conn_id, the Airflow connection of its database",
            ),
            (
                self.result_conn_id is not None and self.result_table is None,
                "result_conn_id goes with result_table",
            ),
            (
                self.ledger_conn_id is not None and self.result_table is not None,
                "ledger_conn_id is for output to the XCom: with result_table the ledger lives beside it",
            ),
            (
                self.where is not None and self.source_table is None,
                "where goes with source_table; put the condition of sql into the query",
            ),
            (
                self.parameters is not None and self.where is None and self.sql is None,
                "parameters go with where or sql",
            ),
            (
                self.wait_for_completion and self.mode == "realtime",
                'wait_for_completion goes with mode="submit"',
            ),
            (
                self.max_price is not None and self.mode == "submit",
                'max_price goes with mode="realtime": a submission names no price, use max_lookups',
            ),
            (
                bool(self.write_back) and (self.source_table is None or self.result_table is None),
                "write_back goes with source_table and result_table",
            ),
        ]

    def _values(self) -> list[tuple[bool, str]]:
        shard = self.shard
        return [
            (
                self.parameters is not None and not isinstance(self.parameters, (Mapping, str)),
                "parameters must be a mapping, its names stand as :name in the SQL",
            ),
            (
                self.write_back is not None and not isinstance(self.write_back, Mapping),
                "write_back must be a mapping of source columns to outcome fields",
            ),
            (
                not isinstance(self.assume_country_code, bool),
                f"assume_country_code must be True or False, not {self.assume_country_code!r}",
            ),
            (
                self.default_region is not None
                and not (
                    isinstance(self.default_region, str) and re.fullmatch("[A-Z]{2}", self.default_region)
                ),
                f"default_region must be an ISO country such as IN, not {self.default_region!r}",
            ),
            (
                self.max_age is not None
                and (not isinstance(self.max_age, timedelta) or self.max_age < timedelta(0)),
                "max_age must be a timedelta of 0 or more, or None",
            ),
            (
                self.max_lookups is not None and not _is_int(self.max_lookups, 0),
                f"max_lookups must be a whole number of 0 or more, not {self.max_lookups!r}",
            ),
            (
                self.max_price is not None and (self.max_price.is_nan() or self.max_price < 0),
                f"max_price must be an amount of 0 or more, not {self.max_price!r}",
            ),
            (
                self.mode not in ("realtime", "submit"),
                f'mode must be "realtime" or "submit", not {self.mode!r}',
            ),
            *(
                (not _is_positive(value), f"{name} must be a number of seconds above 0, not {value!r}")
                for name, value in (
                    ("poll_interval", self.poll_interval),
                    ("wait_timeout", self.wait_timeout),
                )
            ),
            (
                self.in_doubt not in ("rebuy", "hold"),
                f'in_doubt must be "rebuy" or "hold", not {self.in_doubt!r}',
            ),
            (
                self.on_invalid not in ("record", "fail"),
                f'on_invalid must be "record" or "fail", not {self.on_invalid!r}',
            ),
            (
                not _is_int(self.batch_size, 1, MOST_NUMBERS_IN_REQUEST),
                f"batch_size must be 1 to {MOST_NUMBERS_IN_REQUEST}, not {self.batch_size!r}",
            ),
            (
                not _is_int(self.max_workers, 1, MOST_WORKERS),
                f"max_workers must be 1 to {MOST_WORKERS}, not {self.max_workers!r}",
            ),
            (
                not _is_share(self.max_failed),
                f"max_failed must be a share from 0 to 1, not {self.max_failed!r}",
            ),
            (
                shard is not None
                and not (
                    isinstance(shard, Sequence)
                    and len(shard) == 2
                    and _is_int(shard[1], 1)
                    and _is_int(shard[0], 0, shard[1] - 1)
                ),
                f"shard must be (index, count) with 0 <= index < count, not {shard!r}",
            ),
        ]


def check_columns(columns: Any, kind: Kind) -> None:
    """Refuse a choice of an answer's columns that cannot be meant.

    :raises ConfigurationError: naming what is wrong, and what there is.
    """
    if columns is None:
        return
    there = ", ".join(kind.answer_types)
    if not isinstance(columns, (list, tuple, set, frozenset)) or not columns:
        raise ConfigurationError(
            f"columns must be a list of columns of the answer, not {columns!r}. There are {there}"
        )
    strange = [name for name in columns if not isinstance(name, str) or name not in kind.answer_types]
    if strange:
        raise ConfigurationError(
            f"columns names what the answer does not have: {_listed(strange)}. It has {there}; "
            "the columns of the asking, such as status, are always filed"
        )


def _listed(names: Collection[Any]) -> str:
    return ", ".join(sorted(map(str, names)))


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _is_share(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and 0 <= value <= 1


def _is_int(value: object, least: int, most: float = float("inf")) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
