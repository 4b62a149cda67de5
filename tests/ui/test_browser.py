"""The connection form, its test and the run report, in the UI of a real Airflow and a real browser."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_2_PLUS

from airflow_provider_kaleyra.sandbox import Sandbox
from tests.support.leaks import Leaks
from tests.ui.server import PASSWORD, USER, Server, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="the UI of Airflow 2 is another one"),
]

IMAGES = Path(__file__).parents[2] / "docs" / "images"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
NOBODY_LISTENS = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def kaleyra() -> Iterator[Sandbox]:
    """A stand-in for Kaleyra for this module's server."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def server(kaleyra: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Airflow with the demo's runs in it."""
    # Some of what Kaleyra answers is lost, so that there is something to tell.
    kaleyra.fault("truncated", api="number", at=2)
    with served(tmp_path_factory.mktemp("ui") / "demo", kaleyra) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or "/usr/bin/chromium", args=FLAGS.split()
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Log in; give a page of that size and colour scheme."""
    contexts = []

    def open_page(scheme: str = "light", width: int = 1280, height: int = 900) -> Page:
        context = browser.new_context(
            base_url=server.url,
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport={"width": width, "height": height},
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto("/")
        page.fill('input[name="username"]', USER)
        page.fill('input[name="password"]', PASSWORD)
        page.click('button[type="submit"]')
        page.get_by_text("Admin", exact=True).wait_for()
        page.wait_for_load_state("networkidle")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(autouse=True)
def _settings_as_they_were(kaleyra: Sandbox) -> Iterator[None]:
    before = {name: getattr(kaleyra.settings, name) for name in ("allowed_addresses", "rcs_enabled")}
    yield
    for name, value in before.items():
        setattr(kaleyra.settings, name, value)


def shoot(page: Page, name: str, **how: Any) -> None:
    """Keep a screenshot: for the documentation if asked to, else only to see that one can be made."""
    image = page.screenshot(**how)
    assert image.startswith(b"\x89PNG")
    if os.environ.get("KALEYRA_SCREENSHOTS"):
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / name).write_bytes(image)


def fill_form(page: Page, kaleyra: Sandbox, conn_id: str, key: str) -> None:
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    dialog = page.get_by_role("dialog")
    dialog.locator('input[name="connection_id"]').fill(conn_id)
    dialog.get_by_role("combobox").first.click()
    page.keyboard.type("Kaleyra")
    page.keyboard.press("Enter")
    dialog.get_by_text("Account SID", exact=True).wait_for()
    # With a port: Airflow 3.3.1 and 3.3.2 refuse to test a connection that has none (apache/airflow#73298).
    host, _, port = kaleyra.url.rpartition(":")
    dialog.locator('input[name="host"]').fill(host)
    dialog.locator('input[name="port"]').fill(port)
    dialog.locator('input[name="login"]').fill(kaleyra.sid)
    dialog.locator('input[name="password"]').fill(key)
    if key == kaleyra.api_key:
        shoot(page, "connection-form.png", clip={"x": 0, "y": 0, "width": 1280, "height": 1000})
    fold = dialog.get_by_role("button", name="Extra Fields", exact=True)
    if fold.count():  # Airflow 3.4 shows them at once.
        fold.click()
    dialog.locator('input[name="element_rcs_host"]').fill(kaleyra.url)
    dialog.locator('input[name="element_timeout"]').fill("20")
    dialog.locator('input[name="element_requests_per_second"]').fill("10")


def press_test(page: Page, conn_id: str) -> str:
    """Press Test in the connection's row; give what Airflow says then."""
    page.get_by_role("status").filter(has_text="successfully created").wait_for()
    # What was said of the form lies over the table, for as long as the mouse is near it.
    page.goto("/connections")
    page.get_by_placeholder("Search Connections").fill(conn_id)
    page.get_by_text("1 Connection", exact=True).wait_for()
    row = page.get_by_role("row").filter(has_text=conn_id)
    row.get_by_role("button", name="Test Connection").click()
    toast = page.get_by_role("status").filter(has_text="Number lookup")
    toast.wait_for()
    return toast.inner_text()


def test_the_form_makes_a_connection_and_its_test_says_that_it_works(
    open_page: Callable[..., Page], server: Server, kaleyra: Sandbox
) -> None:
    page = open_page(height=1400)
    fill_form(page, kaleyra, "kaleyra_form", kaleyra.api_key)
    shoot(page, "connection-form-extras.png")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("dialog").wait_for(state="detached")
    page.set_viewport_size({"width": 1280, "height": 420})
    told = press_test(page, "kaleyra_form")
    shoot(page, "connection-test.png")

    assert told.count("account and key accepted") == 2
    stored = server.session().get(f"{server.url}/api/v2/connections/kaleyra_form", timeout=60).json()
    extra = json.loads(stored["extra"])
    assert (stored["conn_type"], stored["login"]) == ("kaleyra", kaleyra.sid)
    assert f"{stored['host']}:{stored['port']}" == kaleyra.url
    # Airflow before 3.2 keeps all as text.
    assert [float(extra[name]) for name in ("timeout", "requests_per_second")] == [20, 10]
    assert extra["rcs_host"] == kaleyra.url
    assert kaleyra.api_key not in json.dumps(stored)


def test_a_wrong_key_is_told_where_the_test_was_pressed(
    open_page: Callable[..., Page], kaleyra: Sandbox
) -> None:
    page = open_page(height=1400)
    fill_form(page, kaleyra, "kaleyra_wrong", "another-key")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("dialog").wait_for(state="detached")

    assert "check login and password" in press_test(page, "kaleyra_wrong")


def wrong_key(kaleyra: Sandbox) -> dict[str, Any]:
    return {"password": "another-key"}


def refused_address(kaleyra: Sandbox) -> dict[str, Any]:
    kaleyra.settings.allowed_addresses = {"192.0.2.1"}
    return {}


def rcs_off(kaleyra: Sandbox) -> dict[str, Any]:
    kaleyra.settings.rcs_enabled = False
    return {}


def unreachable(kaleyra: Sandbox) -> dict[str, Any]:
    return {"host": NOBODY_LISTENS, "extra": {"rcs_host": NOBODY_LISTENS}}


def wrong_pod(kaleyra: Sandbox) -> dict[str, Any]:
    return {"host": "", "extra": {"pod": "nowhere", "rcs_pod": "nowhere"}}


CASES = [
    (wrong_key, ["check login and password"]),
    (refused_address, ["allow-list"]),
    (rcs_off, ["Number lookup: reached, account and key accepted", "RCS channel is not enabled"]),
    (unreachable, [NOBODY_LISTENS, "No connection to the service"]),
    (wrong_pod, ["https://api.nowhere.kaleyra.io", "https://rcs-api.nowhere.kaleyra.io", "pod"]),
]


def connection(kaleyra: Sandbox, changes: dict[str, Any]) -> dict[str, Any]:
    made = {
        "conn_type": "kaleyra",
        "login": kaleyra.sid,
        "password": kaleyra.api_key,
        "host": kaleyra.url,
        "extra": {"rcs_host": kaleyra.url},
    }
    return {**made, **changes}


@pytest.mark.parametrize(("arrange", "told"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_rest_api_tells_causes_apart(
    server: Server, kaleyra: Sandbox, arrange: Callable[[Sandbox], dict[str, Any]], told: list[str]
) -> None:
    made = connection(kaleyra, arrange(kaleyra))
    body = {**made, "connection_id": "tested", "extra": json.dumps(made["extra"])}
    answer = server.session().post(f"{server.url}/api/v2/connections/test", json=body, timeout=120).json()

    assert answer["status"] is False
    assert all(words in answer["message"] for words in told), answer["message"]


@pytest.mark.parametrize(("arrange", "told"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_command_line_tells_causes_apart(
    server: Server, kaleyra: Sandbox, arrange: Callable[[Sandbox], dict[str, Any]], told: list[str]
) -> None:
    made = json.dumps(connection(kaleyra, arrange(kaleyra)))
    done = server.airflow("connections", "test", "kaleyra_tested", AIRFLOW_CONN_KALEYRA_TESTED=made)
    said = " ".join((done.stdout + done.stderr).split())

    assert "Connection failed!" in said
    assert done.returncode != 0 or not AIRFLOW_V_3_2_PLUS
    assert all(words in said for words in told), said


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_run_report_is_in_airflows_ui(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(scheme)
    page.goto("/plugin/kaleyra")
    frame = page.frame_locator("iframe")
    row = frame.get_by_role("row").filter(has_text="contacts_rcs")
    row.get_by_role("link", name="Report").click()
    frame.get_by_role("heading", name="RCS capability: contacts_rcs").wait_for()

    assert frame.get_by_role("img").count() > 3
    background = frame.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") is (scheme == "light")
    shoot(page, f"run-report-{scheme}.png")


@pytest.mark.parametrize("task", ["rcs", "numbers"])
def test_a_task_instances_button_leads_to_its_report_and_no_number_is_on_it(
    open_page: Callable[..., Page], server: Server, kaleyra: Sandbox, leaks: Leaks, task: str
) -> None:
    api = f"{server.url}/api/v2/dags/enrich_contacts/dagRuns"
    (run,) = server.session().get(api, timeout=60).json()["dag_runs"]
    page = open_page(height=1600)
    page.goto(f"/dags/enrich_contacts/runs/{run['dag_run_id']}/tasks/{task}/details")
    documentation = page.get_by_role("link", name="Kaleyra documentation")
    assert documentation.get_attribute("href") == "https://developers.kaleyra.io/"
    button = page.get_by_role("link", name="Run report")
    if button.get_attribute("target") == "_blank":
        with page.expect_popup() as opened:
            button.click()
        page = opened.value
    else:
        button.click()
    page.wait_for_url("**/kaleyra/run?**")
    page.get_by_role("heading", name="This run").wait_for()
    if task == "numbers":
        shoot(page, "run-report-numbers.png", full_page=True)

    leaks.watch(number for api in kaleyra.account.purchases.values() for number in api)
    assert leaks.watched
    assert not leaks.leaks(page.content())
    if task == "numbers":
        assert "kaleyra-ledger release --api number --conn-id warehouse" in page.content()
