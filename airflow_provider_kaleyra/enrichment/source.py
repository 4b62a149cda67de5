"""Where numbers come from: a list as other tasks give it, a table, or a query; read in chunks, repeatably."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Protocol

from sqlalchemy import (
    FLOAT,
    REAL,
    LargeBinary,
    MetaData,
    Table,
    bindparam,
    cast,
    exists,
    func,
    or_,
    select,
    text,
    true,
    tuple_,
    type_coerce,
)
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.sql.expression import ColumnElement, TextClause
from sqlalchemy.types import NullType

from airflow_provider_kaleyra.enrichment.fresh import Fresh
from airflow_provider_kaleyra.enrichment.job import NUMBER_COLUMN
from airflow_provider_kaleyra.enrichment.plan import Input, raw_text
from airflow_provider_kaleyra.enrichment.scratch import Scratch
from airflow_provider_kaleyra.enrichment.tables import MYSQL, reading, split_name
from airflow_provider_kaleyra.errors import ConfigurationError
from airflow_provider_kaleyra.phone import mask_text

CHUNK = 2_500

_FOUR_BYTE_FLOATS: Mapping[str, tuple[type[Any], int]] = {
    "postgresql": (REAL, 700),
    **dict.fromkeys(MYSQL, (FLOAT, 4)),
}
"""The type of a column, and how drivers call it in the description of a result."""


class Source(Protocol):
    """Something that gives its inputs in chunks, the same ones each time."""

    def chunks(self, size: int = CHUNK) -> Iterator[list[Input]]:
        """Yield all inputs in order."""
        ...

    def total(self) -> int:
        """Count the inputs."""
        ...

    def rows(self) -> int:
        """Count the rows, where not all of them may be read."""
        return 0

    def standing(self) -> Iterator[list[str]]:
        """Yield the numbers of rows that are not read since their outcome stands, each once."""
        return iter(())


class ListSource(Source):
    """Numbers that are in memory already.

    :param values: what :func:`cells` gives.
    """

    def __init__(self, values: Sequence[object]) -> None:
        self._values = values

    def total(self) -> int:
        """Count the inputs."""
        return len(self._values)

    def chunks(self, size: int = CHUNK) -> Iterator[list[Input]]:
        """Yield all inputs in order."""
        for start in range(0, len(self._values), size):
            yield [
                Input(position, raw_text(value))
                for position, value in enumerate(self._values[start : start + size], start)
            ]


def cells(numbers: object, number_column: str) -> list[object]:
    """Read the parameter ``numbers``.

    :param numbers: text or ints in a list; rows (their first item counts) or dicts (their ``number_column``),
        as other operators' XComs hold them; JSON text of such a list; text with commas or new lines.
    :raises ConfigurationError: for anything else.
    """
    if isinstance(numbers, str):
        stripped = numbers.strip()
        if stripped.startswith("["):
            try:
                numbers = json.loads(stripped, parse_float=str, parse_int=str)
            except ValueError:
                raise ConfigurationError("numbers: the text begins like JSON and is none") from None
        else:
            return [cell for cell in re.split(r"[,\r\n]+", stripped) if cell.strip()]
    if isinstance(numbers, int) and not isinstance(numbers, bool):
        return [numbers]
    if isinstance(numbers, (Mapping, bytes)) or not hasattr(numbers, "__iter__"):
        raise ConfigurationError(
            "numbers must be a list, JSON text of one, or text with commas or new lines, "
            f"not {type(numbers).__name__}"
            + (": did the upstream task return nothing?" if numbers is None else "")
        )
    return [_cell(item, number_column) for item in numbers]


def _cell(item: object, number_column: str) -> object:
    if isinstance(item, Mapping):
        if number_column not in item:
            names = mask_text(", ".join(sorted(map(str, item))))
            raise ConfigurationError(
                f"numbers: a row has no {number_column!r}, it has {names}: "
                "name the right one as number_column"
            )
        return item[number_column]
    if isinstance(item, (list, tuple)):
        return item[0] if item else None
    return item


class QuerySource(Source):
    """A query's numbers. It is executed once and read into a scratch file, however long the lookups take."""

    def __init__(
        self, engine: Engine, query: Any, parameters: Mapping[str, Any] | None, number_column: str
    ) -> None:
        self._engine = engine
        self._query = text(query.strip().rstrip(";")) if isinstance(query, str) else query
        self._parameters = dict(parameters or {})
        self._number_column = number_column
        self._scratch: Scratch | None = None

    def total(self) -> int:
        """Count the inputs."""
        return self._scratch.spooled if self._scratch else 0

    def chunks(self, size: int = CHUNK) -> Iterator[list[Input]]:
        """Yield all inputs in order."""
        if self._scratch is None:
            self._scratch = self._read()
        for rows in self._scratch.chunks(size):
            yield [Input(position, raw) for position, raw in rows]

    def _read(self) -> Scratch:
        scratch = Scratch()
        with reading(self._engine) as connection, _undecoded(connection):
            streamed = connection.execution_options(stream_results=True)
            # Closed whatever happens: MySQL's drivers want nothing else from a connection with unread rows.
            with closing(streamed.execute(self._query, self._parameters)) as result:
                if not result.returns_rows:
                    raise ConfigurationError("sql must be a SELECT that gives rows")
                column = self._column(list(result.keys()))
                described = result.cursor.description[column]
                floats = _FOUR_BYTE_FLOATS.get(self._engine.dialect.name)
                if floats and described[1] == floats[1]:
                    raise ConfigurationError(_lost_digits("sql", described[0]))
                while rows := result.fetchmany(CHUNK):
                    scratch.spool(raw_text(row[column]) for row in rows)
        return scratch

    def _column(self, names: list[str]) -> int:
        """Find the numbers: in the first column, if the user named none."""
        if self._number_column in names:
            return names.index(self._number_column)
        if self._number_column != NUMBER_COLUMN:
            raise ConfigurationError(
                f"sql gives no column {self._number_column!r}, it gives {', '.join(names)}: "
                "name the right one as number_column"
            )
        return 0


@contextmanager
def _undecoded(connection: Connection) -> Iterator[None]:
    """Get text from SQLite as bytes, since one cell that is no UTF-8 would end the whole query."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.dbapi_connection
    decoded = driver.text_factory
    driver.text_factory = bytes
    try:
        yield
    finally:
        driver.text_factory = decoded


class TableSource(Source):
    """A table's numbers, page by page along its primary key, so that no cursor stays open while others write.

    A view, or a table without a primary key or with nulls in it, is read as a query.

    :param where: the user's SQL, with ``:name`` placeholders for ``parameters``.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        number_column: str,
        where: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self._engine = engine
        self.table = reflect(engine, name)
        if number_column not in self.table.c:
            raise ConfigurationError(
                f"source_table {name} has no column {number_column!r}, it has "
                f"{', '.join(self.table.c.keys())}: name the right one as number_column"
            )
        self.number = self.table.c[number_column]
        floats = _FOUR_BYTE_FLOATS.get(engine.dialect.name)
        if floats and isinstance(self.number.type, floats[0]):
            raise ConfigurationError(_lost_digits(f"source_table {name}", number_column))
        self._where = _bound(where, parameters or {}) if where else true()
        self._fresh: Fresh | None = None
        self._keyless = None
        self._raw: ColumnElement[Any] = self.number
        self.key: list[ColumnElement[Any]] = list(self.table.primary_key.columns)
        self.has_null_keys = False
        if engine.dialect.name == "sqlite":
            # There a cell may hold anything, whatever its column is declared as, and text in any encoding.
            self._raw = type_coerce(cast(self.number, LargeBinary), NullType())
            # Nor is a key without nulls.
            self.key = [type_coerce(part, NullType()) for part in self.key]
            self.has_null_keys = bool(self.key) and self._finds_null_keys()
        if not self.key or self.has_null_keys:
            query = select(self._raw.label("raw")).where(self._where)
            self._keyless = QuerySource(engine, query, None, "raw")

    def skip(self, fresh: Fresh) -> None:
        """Leave out rows whose outcome stands already."""
        self._fresh = None if self._keyless else fresh

    def total(self) -> int:
        """Count the rows that are read."""
        if self._keyless is not None:
            return self._keyless.total()
        with reading(self._engine) as connection:
            count = self._unread(select(func.count()).select_from(self.table), connection)
            return int(connection.execute(count).scalar_one())

    def rows(self) -> int:
        """Count the rows, where not all of them may be read."""
        if self._fresh is None:
            return 0
        count = select(func.count()).select_from(self.table).where(self._where)
        with reading(self._engine) as connection:
            return int(connection.execute(count).scalar_one())

    def standing(self) -> Iterator[list[str]]:
        """Yield the numbers of rows that are not read since their outcome stands, each once."""
        if self._fresh is None:
            return
        # The user's SQL stands where there is no other table whose columns it could mean.
        names = dict.fromkeys([self.number.name, *self._fresh.write_back])
        chosen = select(*(self.table.c[name] for name in names)).where(self._where).subquery()
        with reading(self._engine) as connection:
            stands = self._fresh.stands_for(chosen, chosen.c[self.number.name], connection)
            numbers = select(self._fresh.result.c.phone_number).distinct()
            numbers = numbers.select_from(chosen.join(self._fresh.outcomes, stands))
            result = connection.execution_options(stream_results=True).execute(numbers)
            while found := result.fetchmany(CHUNK):
                yield [row[0] for row in found]

    def chunks(self, size: int = CHUNK) -> Iterator[list[Input]]:
        """Yield all inputs in the order of the key."""
        if self._keyless is not None:
            yield from self._keyless.chunks(size)
            return
        last: Sequence[Any] | None = None
        position = 0
        while True:
            with reading(self._engine) as connection:
                rows = connection.execute(self._page(last, size, connection)).fetchall()
            yield [Input(position + n, raw_text(row[-1]), tuple(row[:-1])) for n, row in enumerate(rows)]
            if len(rows) < size:
                return
            position += len(rows)
            last = rows[-1][:-1]

    def _finds_null_keys(self) -> bool:
        found = select(self.number).where(self._where, or_(*(part.is_(None) for part in self.key)))
        with reading(self._engine) as connection:
            return connection.execute(select(exists(found))).scalar_one() > 0

    def _page(self, last: Sequence[Any] | None, size: int, connection: Connection) -> Any:
        page = self._unread(select(*self.key, self._raw.label("raw")), connection)
        if last is not None:
            page = page.where(tuple_(*self.key) > tuple_(*last, types=[part.type for part in self.key]))
        return page.order_by(*self.key).limit(size)

    def _unread(self, rows: Any, connection: Connection) -> Any:
        """Choose the rows whose outcome does not stand."""
        chosen = rows.where(self._where)
        if self._fresh is not None:
            stands = self._fresh.stands_for(self.table, self.number, connection)
            standing = exists().select_from(self._fresh.outcomes).where(stands)
            chosen = chosen.where(~standing.correlate(self.table))
        return chosen


def _lost_digits(source: str, column: str) -> str:
    return (
        f"{source}: the column {column!r} is of four-byte floats, which keep seven digits of a number; a "
        "cast does not bring back the others. Store the numbers as text or as big integers"
    )


def _bound(where: str, parameters: Mapping[str, Any]) -> TextClause:
    """Bind the user's parameters under names that no parameter of ours can have."""
    clause = text(f"({where})")
    named = clause.compile().params.keys() & parameters.keys()
    # Without a type, each goes to the driver as it is.
    return clause.bindparams(*(bindparam(name, parameters[name], NullType(), unique=True) for name in named))


def reflect(engine: Engine, name: str) -> Table:
    """Read a table of the user's as it is in the database.

    :raises ConfigurationError: if there is none of that name.
    """
    schema, table = split_name(name)
    with reading(engine) as connection:
        try:
            return Table(table, MetaData(), schema=schema, autoload_with=connection, resolve_fks=False)
        except NoSuchTableError:
            raise ConfigurationError(f"source_table {name} does not exist") from None
