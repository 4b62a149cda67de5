"""Writing to a database that may be busy or gone, without losing what was paid for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_kaleyra.enrichment.memory import Claimed, Memory, Settled
from airflow_provider_kaleyra.enrichment.plan import Input
from airflow_provider_kaleyra.enrichment.rescue import Rescue
from airflow_provider_kaleyra.enrichment.results import Output
from airflow_provider_kaleyra.errors import FilingError

log = logging.getLogger(__name__)

PATIENCE = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds to wait for a database that is gone before paid answers are kept in a file,"""
PATIENCE_AT_THE_END = (0.5, 1.0)
"""and when the run has been told to end: Airflow kills it soon after."""


@dataclass
class Filing:
    """Commits what a run learns.

    :param rescue: where paid answers go that the database does not take.
    """

    memory: Memory
    output: Output
    rescue: Rescue | None
    ending: bool = False

    def commit(self, *writes: Callable[[Any], None]) -> None:
        """Write in one transaction, again after a while if the database is gone or busy.

        :raises FilingError: if it stays so, or refuses.
        """
        for patience in (*(PATIENCE_AT_THE_END if self.ending else PATIENCE), None):
            try:
                with self.memory.writing() as connection:
                    for write in writes:
                        write(connection)
            except FilingError as error:
                if patience is None or not error.temporary:
                    raise
                log.warning("Could not be filed, next try in %.1f s: %s", patience, error)
                time.sleep(patience)
            else:
                return

    def settle(
        self,
        settled: Sequence[Settled],
        inputs: Sequence[Sequence[Input]],
        unsent: Sequence[Claimed],
        *also: Callable[[Any], None],
    ) -> FilingError | None:
        """File paid answers with the inputs that they are for, and take back claims that never left.

        :param also: what else is written in the same transaction.
        :return: nothing, or an error that names the file in which the answers are kept instead.
        :raises FilingError: if they cannot be kept either.
        """
        outcomes = [(raw, item.outcome) for item, raws in zip(settled, inputs, strict=True) for raw in raws]
        try:
            self.commit(
                lambda connection: self.memory.settle(connection, settled),
                lambda connection: self.memory.release(connection, unsent),
                lambda connection: self.output.file(connection, outcomes),
                *also,
            )
        except FilingError as error:
            if self.rescue is None or not settled:
                raise
            self.rescue.keep(settled, inputs)
            self._settle_ledger(settled, unsent)
            kept = FilingError(
                f"{error}. Paid answers are kept in {self.rescue.path}: when the database is back, "
                f"file them with: kaleyra-ledger file {self.rescue.path}"
            )
            log.error("%s", kept)
            return kept
        return None

    def _settle_ledger(self, settled: Sequence[Settled], unsent: Sequence[Claimed]) -> None:
        """File in the ledger alone, so that what only the results' table refuses is not bought again."""
        self.ending = True
        try:
            self.commit(
                lambda connection: self.memory.settle(connection, settled),
                lambda connection: self.memory.release(connection, unsent),
            )
        except FilingError as error:
            log.warning("The ledger does not take them either: %s", error)
