"""What to do about outcomes that are not what one hoped for, in plain sentences. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from airflow_provider_kaleyra.phone import REASONS

_CORRECT = "Correct it in the source."

_INVALID: Final[Mapping[str, str]] = MappingProxyType(
    {
        "empty": "Nothing to do, or leave such rows out with where.",
        "not_text": "Give the number as text or digits.",
        "not_whole_number": "Give the number as text: arithmetic has touched it.",
        "lost_digits": "Export the column as text and load it again.",
        "no_country_code": (
            'Say how to read it: default_region="…" for national numbers, assume_country_code=True for '
            "numbers that begin with their country code without a plus sign."
        ),
        "ambiguous_zero": "Write it in the source as it is dialled from abroad.",
        "two_numbers": "Split it into a row for each number.",
        "extension": "Remove the extension in the source.",
    }
)

_FAILED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "nothing_sent": "The service could not be reached: press Test on the connection. Nothing was bought.",
        "rate_limited": "Set requests per second on the connection below the account's limit.",
        "service_error": (
            "Kaleyra or the carrier reported a failure. If the next run fares no better, ask Kaleyra's "
            "support about the response_code in these rows."
        ),
        "missing_from_answer": (
            "Kaleyra's answer left it out, and may have billed it. If that goes on, tell Kaleyra's support."
        ),
        "bad_request": "Kaleyra refused the question. The columns response_code and error_message say why.",
        "released": "A person released it from doubt.",
    }
)

_ASKED_AGAIN = "The next run asks again."


def advice(status: str, reason: str | None, *, release: str) -> str:
    """Say what a person can do about rows of this status and reason, or why there is nothing to do.

    :param release: the command that releases numbers in doubt from this ledger.
    """
    if status == "ok":
        return "Nothing to do."
    if status == "invalid":
        if reason == "refused_by_service":
            return "Kaleyra knows no such number: correct it in the source, or leave it."
        return " ".join(filter(None, (REASONS.get(reason or ""), _INVALID.get(reason or "", _CORRECT))))
    if status == "in_doubt":
        return (
            "Sent, and the answer was lost: it may have been paid for. The next run asks again, unless the "
            f'task has in_doubt="hold"; then release them with: {release}'
        )
    if status == "requested":
        return "On its way now, or left by a task that was killed: then it counts as in doubt after an hour."
    if status == "pending":
        return "Submitted and not answered yet: LookupDetailsSensor collects the answers."
    if status == "failed":
        return " ".join(filter(None, (_FAILED.get(reason or ""), _ASKED_AGAIN)))
    return "No outcome that this version knows."


def release_command(api: str, conn_id: str, schema: str | None) -> str:
    """Give the command that lets numbers in doubt be asked about again."""
    return f"kaleyra-ledger release --api {api} --conn-id {conn_id}" + (
        f" --schema {schema}" if schema else ""
    )
