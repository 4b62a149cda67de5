"""Paid answers that the database would not take, kept in a file until it does."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from airflow_provider_kaleyra.enrichment.kinds import NUMBER, RCS, Kind
from airflow_provider_kaleyra.enrichment.ledger import Ledger
from airflow_provider_kaleyra.enrichment.memory import Run, Settled
from airflow_provider_kaleyra.enrichment.plan import Input
from airflow_provider_kaleyra.enrichment.results import TableOutput
from airflow_provider_kaleyra.enrichment.tables import split_name
from airflow_provider_kaleyra.errors import ConfigurationError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rescue:
    """A JSON-lines file beside Airflow's own: where its answers belong, then one line for each number.

    :param conn_id: Airflow connection of the ledger's database.
    """

    kind: Kind
    run: Run
    conn_id: str
    result_table: str | None
    folder: Path

    @property
    def path(self) -> Path:
        """The file of this run."""
        name = "".join(letter if letter.isalnum() else "-" for letter in self.run.id)
        # Two runs may have the same letters.
        key = hashlib.sha256(self.run.id.encode()).hexdigest()[:8]
        return self.folder / f"unfiled-{self.kind.name}-{name[:150]}-{key}.jsonl"

    def file(self) -> None:
        """File what an earlier try of this run has kept, so that it is not bought again.

        :raises FilingError: if the database still does not take it.
        """
        if self.path.exists():
            log.info("Filed %d paid answers that an earlier try has kept in a file.", file_later(self.path))

    def keep(self, settled: Sequence[Settled], inputs: Sequence[Sequence[Input]]) -> None:
        """Append answers and the inputs that they are for, readable by this user alone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        head = {
            "kind": self.kind.name,
            "columns": list(self.kind.filed_types),
            "task": self.run.task,
            "map_index": self.run.map_index,
            "conn_id": self.conn_id,
            "result_table": self.result_table,
        }
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as file:
            if not file.tell():
                file.write(json.dumps(head) + "\n")
            for item, raws in zip(settled, inputs, strict=True):
                line = {
                    "outcome": {name: _to_json(value) for name, value in item.outcome.items()},
                    "price": format(item.price, "f"),
                    "purchases": item.purchases,
                    "spent": format(item.spent, "f"),
                    "raw_numbers": [raw.raw for raw in raws],
                }
                file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


def file_later(path: Path) -> int:
    """File a rescued run's answers in its ledger and result table, and remove the file.

    :return: how many numbers were filed; those that were asked about again since are left out.
    :raises FilingError: if the database still does not take them; the file stays.
    """
    from airflow_provider_kaleyra.enrichment.database import engine_of

    with path.open(encoding="utf-8") as file:
        head, *lines = list(_lines(file)) or [{}]
    kinds = {kind.name: kind for kind in (RCS, NUMBER)}
    if head.get("kind") not in kinds:
        raise ConfigurationError(f"{path} holds no answers of Kaleyra")
    kind = kinds[head["kind"]].only(head.get("columns"))
    settled = [
        Settled(
            {name: _from_json(name, value) for name, value in line["outcome"].items()},
            Decimal(line["price"]),
            line["purchases"],
            Decimal(line["spent"]),
        )
        for line in lines
    ]
    engine = engine_of(head["conn_id"])
    schema = split_name(head["result_table"] or "")[0]
    ledger = Ledger(engine, kind, Run(head["task"], head["map_index"]), schema=schema)
    output = TableOutput(engine, kind, head["result_table"]) if head["result_table"] else None
    with ledger.writing() as connection:
        valid = ledger.settle_late(connection, settled)
        if output is not None:
            raws: dict[str, dict[str, None]] = {}
            for line in lines:
                texts = raws.setdefault(line["outcome"]["phone_number"], {})
                texts.update(dict.fromkeys(line["raw_numbers"]))
            rows = [(raw, item.outcome) for item in valid for raw in raws[item.outcome["phone_number"]]]
            output.file(connection, [(Input(0, raw), outcome) for raw, outcome in rows])
    path.unlink()
    return len(valid)


def _lines(file: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in file:
        try:
            yield json.loads(line)
        except ValueError:
            log.warning("A line of the file was never written to its end, and is left out.")


def _to_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _from_json(name: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if value is not None and name.endswith("_at") else value
