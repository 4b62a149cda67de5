"""An Airflow connection of type ``kaleyra``, made into a client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_kaleyra.compat import form_widgets
from airflow_provider_kaleyra.get_provider_info import CONNECTION_FORM

if TYPE_CHECKING:
    from airflow_provider_kaleyra.api.client import KaleyraClient
    from airflow_provider_kaleyra.api.models import DeviceLookup, LookupSubmission, NumberLookup


class KaleyraHook(BaseHook):
    """Ask Kaleyra about phone numbers, given as E.164 text such as ``+14155550100``.

    Every lookup may be billed, and the hook keeps no ledger: asking twice is paying twice. The operators
    remember. The connection is read once and its session reused.

    :param kaleyra_conn_id: the Airflow connection: login is the account SID, password the API key.
    """

    conn_name_attr = "kaleyra_conn_id"
    default_conn_name = "kaleyra_default"
    conn_type = CONNECTION_FORM["connection-type"]
    hook_name = CONNECTION_FORM["hook-name"]

    def __init__(self, kaleyra_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kaleyra_conn_id = kaleyra_conn_id

    @cached_property
    def _client(self) -> KaleyraClient:
        return self.client_of(self.get_connection(self.kaleyra_conn_id))

    @staticmethod
    def client_of(connection: Any) -> KaleyraClient:
        """Make a client of an Airflow connection that is known already, as in a triggerer.

        :raises ConfigurationError: naming the connection field that is missing or wrong.
        """
        from airflow_provider_kaleyra.api.client import KaleyraClient
        from airflow_provider_kaleyra.api.config import ClientConfig

        return KaleyraClient(
            ClientConfig.parse(
                login=connection.login,
                password=connection.password,
                host=connection.host,
                port=connection.port,
                schema=connection.schema,
                extra=connection.extra_dejson,
            )
        )

    def get_conn(self) -> KaleyraClient:
        """Give the client, one for this hook.

        :raises ConfigurationError: naming the connection field that is missing or wrong.
        """
        return self._client

    def lookup_device(self, number: str) -> DeviceLookup:
        """Ask whether a device can receive RCS messages. Rests on Kaleyra's page "Single Device Lookup".

        :param number: E.164.
        :raises KaleyraError: if there is no answer; its kind says why.
        """
        return self.get_conn().lookup_device(number)

    def lookup_devices(
        self, numbers: Iterable[str], *, batch_size: int = 500, max_workers: int = 8
    ) -> Iterator[DeviceLookup]:
        """Ask which devices can receive RCS messages. Rests on Kaleyra's page "Bulk Device Lookup".

        :param numbers: E.164, each once; a list or a stream.
        :param batch_size: numbers per bulk request, balanced; fewer than 100 are asked singly.
        :param max_workers: requests in flight.
        :return: one outcome for each number, as they come; a failed one says so in its ``status``.
        :raises SetupError: when no request can succeed: wrong key or host, RCS channel off.
        """
        return self.get_conn().lookup_devices(numbers, batch_size=batch_size, max_workers=max_workers)

    def lookup_numbers(
        self, numbers: Iterable[str], *, batch_size: int = 100, max_workers: int = 8
    ) -> Iterator[NumberLookup]:
        """Ask for carrier, country, porting and roaming. Rests on Kaleyra's page "GET API Lookup".

        :param numbers: E.164, each once; a list or a stream.
        :param batch_size: numbers per request, balanced.
        :param max_workers: requests in flight.
        :return: one outcome for each number, as they come; a failed one says so in its ``status``.
        :raises SetupError: when no request can succeed: wrong key or host.
        """
        return self.get_conn().lookup_numbers(numbers, batch_size=batch_size, max_workers=max_workers)

    def submit_number_lookup(self, numbers: Iterable[str]) -> LookupSubmission:
        """Have numbers looked up later, billed when accepted. Rests on Kaleyra's page "POST API Lookup".

        :param numbers: E.164, each once; they go into one request.
        :return: the id of each number that was accepted: keep them, the answers come by id.
        :raises KaleyraError: if it was not accepted; an ``AmbiguousOutcomeError`` may have been billed.
        """
        return self.get_conn().submit_number_lookup(list(numbers))

    def get_lookup_details(self, lookup_id: str) -> NumberLookup | None:
        """Ask what became of a submitted lookup. Free. Kaleyra's page on it is not known.

        :param lookup_id: one of those that :meth:`submit_number_lookup` gave.
        :return: the outcome, or ``None`` while it is pending, as which anything unknown counts. A refused id
            is a ``failed`` outcome, and names no number.
        :raises ConfigurationError: if the service has no such path: see the extra ``lookup_details_path``.
        """
        return self.get_conn().ask_details(lookup_id).lookup

    def test_connection(self) -> tuple[bool, str]:
        """Try hosts, account and key, unbilled; the message names the likely cause of a failure."""
        try:
            return self.get_conn().check()
        except Exception as error:
            return False, str(error)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Give Airflow before 3.2 the standard fields' labels."""
        behaviour = CONNECTION_FORM["ui-field-behaviour"]
        return {
            "hidden_fields": behaviour["hidden-fields"],
            "relabeling": behaviour["relabeling"],
            "placeholders": behaviour["placeholders"],
        }

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Give Airflow before 3.2 the fields of its own kind."""
        return form_widgets(CONNECTION_FORM["conn-fields"])
