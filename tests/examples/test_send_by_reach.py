"""A campaign goes by RCS to whom it reaches, by SMS to the rest, and no number leaves the database."""

from __future__ import annotations

import json

import pytest

from airflow_provider_kaleyra.sandbox import Sandbox, subscriber
from tests.support.airflow_runs import Said
from tests.support.databases import Database
from tests.support.examples import run_example
from tests.support.numbers import numbers, spelled

MANY = numbers(400)
YES = [number for number in MANY if subscriber(number).rcs_enabled is True][:4]
NO = [number for number in MANY if subscriber(number).rcs_enabled is False][:3]
UNKNOWN = [number for number in MANY if subscriber(number).rcs_enabled is None][:2]
NOBODYS = numbers(1, assigned=False)


@pytest.mark.parametrize(
    ("phones", "sent"),
    [
        pytest.param(
            [*YES, *NO, *UNKNOWN, *NOBODYS, "n/a", spelled(YES[0]), spelled(NO[0])],
            {"send_rcs": 4, "send_sms": 5},
            id="everybody once, and the unknown by SMS",
        ),
        pytest.param(YES, {"send_rcs": 4}, id="nobody for SMS"),
        pytest.param([*NO, *UNKNOWN], {"send_sms": 5}, id="nobody for RCS"),
        pytest.param(["n/a"], {}, id="nobody"),
    ],
)
def test_only_who_has_somebody_to_write_to_sends(
    phones: list[str], sent: dict[str, int], sandbox: Sandbox, database: Database
) -> None:
    database.contacts(phones)

    ran = run_example("send_by_reach")

    senders = {name: ran[name] for name in ("send_rcs", "send_sms")}
    assert {name: run.xcom for name, run in senders.items() if run.state == "success"} == sent
    assert {run.state for name, run in senders.items() if name not in sent} <= {"skipped"}


def test_who_gave_no_answer_gets_an_sms(sandbox: Sandbox, database: Database) -> None:
    database.contacts([*YES, *NO, *numbers(20)])
    sandbox.fault("missing", number=YES[0])

    run_example("send_by_reach")

    channels = database.rows("SELECT channel FROM campaign WHERE phone_number = :one", one=YES[0])
    assert channels == [{"channel": "sms"}]


def test_who_is_no_contact_any_more_gets_nothing(sandbox: Sandbox, database: Database) -> None:
    database.contacts([*YES, *NO])
    run_example("send_by_reach")
    database.execute("DELETE FROM contacts WHERE phone = :gone", {"gone": YES[0]})

    ran = run_example("send_by_reach")

    assert (ran["send_rcs"].xcom, ran["send_sms"].xcom) == (3, 3)


def test_counts_are_printed_and_no_number_is_in_a_log_or_an_xcom(
    sandbox: Sandbox, database: Database, said: Said
) -> None:
    database.contacts([*YES, *NO])

    ran = run_example("send_by_reach")

    told = said() + json.dumps([run.xcom for run in ran.values()], default=str)
    assert "4 messages would be sent" in told
    assert [number for number in (*YES, *NO) if number[1:] in told] == []
