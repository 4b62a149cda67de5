"""What Kaleyra's answers mean, in the field's standard terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Generic, TypeVar

from airflow_provider_kaleyra.errors import MissingFromAnswerError, SetupError, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """The outcome of one paid question about one number.

    ``status`` is ``ok`` (answered), ``invalid`` (refused as no number), ``failed`` (no answer worth
    keeping; nothing in doubt), ``pending`` (submitted, not answered yet) or ``in_doubt`` (sent, answer
    lost); ``reason`` says why it is not ``ok``.
    """

    phone_number: str = field(repr=False)
    status: Status = "ok"
    reason: str | None = None
    response_code: str | None = None
    error_message: str | None = None

    bought_before: int = field(default=0, repr=False)
    """Questions about this number in an earlier request that may have been billed, and did not answer."""

    @property
    def purchases(self) -> int:
        """How often the number was, or may have been, bought to get this outcome."""
        return self.bought_before + self.may_have_cost

    @property
    def may_have_cost(self) -> bool:
        """Whether the question was, or may have been, paid for."""
        return (
            self.status in ("ok", "pending", "in_doubt")
            or self.reason == MissingFromAnswerError.lookup_reason
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLookup(Lookup):
    """Can this device receive RCS messages? (Single and Bulk Device Lookup)

    ``rcs_enabled`` is yes, no, or ``None`` where the service does not say; it holds for the moment of asking.
    """

    rcs_enabled: bool | None = None
    carrier_id: str | None = None
    carrier_status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberLookup(Lookup):
    """Carrier, country, porting and roaming state of a number. (GET API Lookup)

    MCC and MNC are text, since leading zeros count. ``price`` is this number's exact share of its
    request's price, in the account's currency; the shares of a request add up to its price.
    """

    lookup_id: str | None = None
    country: str | None = None
    country_code: int | None = None
    current_mcc: str | None = None
    current_mnc: str | None = None
    current_operator: str | None = None
    original_mcc: str | None = None
    original_mnc: str | None = None
    original_operator: str | None = None
    roaming_mcc: str | None = None
    roaming_mnc: str | None = None
    roaming_operator: str | None = None
    is_ported: bool | None = None
    price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class LookupSubmission:
    """Lookups that Kaleyra accepted and answers later. (POST API Lookup)

    ``id`` is the request's, ``lookup_ids`` has the id of each E.164 number that was accepted.
    """

    id: str | None
    lookup_ids: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Details:
    """What one question by id came to: an outcome, or ``None`` while it is pending.

    ``unknown``: the service knows no such id: not yet, or not any more.
    """

    lookup: NumberLookup | None = None
    unknown: bool = False


LookupT = TypeVar("LookupT", bound=Lookup)


@dataclass(frozen=True, slots=True)
class Answer(Generic[LookupT]):
    """What a batch came to: one lookup for each of its numbers, unless something stopped it.

    ``ignored`` counts the records of an answer that were about another number, or about one a second time.
    ``stopped_by`` says why the numbers without a lookup were not asked: no request can succeed.
    """

    lookups: tuple[LookupT, ...]
    ignored: int = 0
    price: Decimal | None = None
    stopped_by: SetupError | None = None
