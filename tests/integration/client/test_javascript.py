"""The JavaScript client, in Node and in Chromium."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response
from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import sync_playwright
from standardwebhooks import Webhook

from api.pages.client_js import CLIENT_FILE
from ops.infra.settings import Settings
from schemas.webhooks.signing import generate_secret
from tests.conftest import API_KEY
from tests.integration.conftest import IMAGE, AppClient, close_app, open_app, serve_app
from tests.support.generation import AutomaticWorker
from workers.browsers.launchers import local_browser

SCENARIO = Path(__file__).parent / "client_scenario.mjs"
RUN = """async (given) => {
    const { scenario } = await import("/scenario.mjs");
    return scenario(await import("/client.js"), given);
}"""
BLANK = "<!doctype html><title>client</title>"
# Pauses are for servers that many ask.
HURRY = "const FIRST_PAUSE_MS = 500;", "const FIRST_PAUSE_MS = 5;"


@pytest.fixture
def client() -> str:
    """The module, in a hurry."""
    text = CLIENT_FILE.read_text()
    assert HURRY[0] in text
    return text.replace(*HURRY)


@pytest.fixture(autouse=True)
def _hands(app: AppClient) -> Iterator[None]:
    """Somebody who paints whatever is submitted."""
    with AutomaticWorker(app.stores):
        yield


def given(url: str) -> dict[str, Any]:
    """What the scenario needs."""
    secret, body, now = generate_secret(), json.dumps({"type": "job.completed", "words": "ä"}), datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": f"v1a,xx v1,!! {Webhook(secret).sign('msg_1', now, body)}",
    }
    odd = {"oddBody": "{", "oddHeaders": headers | {"webhook-signature": Webhook(secret).sign("msg_1", now, "{")}}
    return {"url": url, "key": API_KEY, "delivery": {"secret": secret, "headers": headers, "body": body, **odd}}


def check(seen: dict[str, Any]) -> None:
    """Everything as it should be."""
    assert seen["numbers"] == list(range(1, len(seen["numbers"]) + 1))
    assert (seen["types"][0], seen["types"][-1]) == ("queued", "completed")
    assert (seen["status"], seen["picture"], seen["generated"]) == ("COMPLETED", "png bytes", len(IMAGE.data))
    assert seen["failed"]["message"] == "Not here."
    assert (seen["failed"]["code"], seen["failed"]["job"]) == ("site_refused", "FAILED")
    assert (seen["refused"]["status"], seen["refused"]["problems"]) == (400, 2)
    assert (seen["stranger"]["status"], seen["nobody"]["status"]) == (401, 404)
    assert seen["cut"] == [f"{number} {kind}" for number, kind in zip(seen["numbers"], seen["types"], strict=True)]
    assert seen["asked"] == [f"{seen['numbers'][-1]} completed"]
    assert seen["aborted"] == "AbortError"
    assert seen["genuine"] == {"type": "job.completed", "words": "ä"}
    assert "no signature fits" in seen["forged"]["message"]
    assert "not signed" in seen["unsigned"]["message"]
    assert "too old" in seen["old"]["message"]
    assert ["The secret is none" in one["message"] for one in seen["keyless"]] == [True] * 4
    assert "no JSON" in seen["odd"]["message"]


def nodes() -> list[str]:
    """Playwright's own Node, and the one of this machine."""
    found = [compute_driver_executable()[0], shutil.which("node")]
    return [one for one in found if one]


@pytest.mark.parametrize("node", nodes(), ids=["playwright", "system"][: len(nodes())])
def test_it_works_in_node(node: str, app_url: str, client: str, tmp_path: Path) -> None:
    """From 20 on."""
    (tmp_path / "client.mjs").write_text(client)
    (tmp_path / "scenario.mjs").write_text(SCENARIO.read_text())
    (tmp_path / "run.mjs").write_text(
        'import * as client from "./client.mjs";\nimport { scenario } from "./scenario.mjs";\n'
        "console.log(JSON.stringify(await scenario(client, JSON.parse(process.argv[2]))));\n"
    )
    command = [node, str(tmp_path / "run.mjs"), json.dumps(given(app_url))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout))


def test_it_works_in_a_browser(app: AppClient, app_url: str, client: str) -> None:
    """On a page that is not a secure one, too."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(local_browser(app.stores.settings).path))
        page = browser.new_page()
        page.route("**/blank", lambda route: route.fulfill(body=BLANK, content_type="text/html"))
        page.route("**/client.js", lambda route: route.fulfill(body=client, content_type="text/javascript"))
        page.route(
            "**/scenario.mjs", lambda route: route.fulfill(body=SCENARIO.read_text(), content_type="text/javascript")
        )
        page.goto(f"{app_url}/blank")
        seen = page.evaluate(RUN, given(app_url))
        browser.close()
    check(seen)


def test_it_works_on_a_page_of_another_origin(settings: Settings, client: str) -> None:
    """Whose preflights the front answers, once the origin is named in CORS_ORIGINS."""
    with serve_app(elsewhere(client)) as origin:
        front = open_app(replace(settings, cors_origins=(origin,)))
        with serve_app(front.client.application) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(local_browser(settings).path))
            page = browser.new_page()
            page.goto(f"{origin}/blank")
            seen = page.evaluate(RUN, given(address))
            browser.close()
        close_app(front)
    check(seen)


def elsewhere(client: str) -> Flask:
    """Somebody else's pages, which use the client."""
    pages = Flask(__name__)
    for path, text, kind in (
        ("/blank", BLANK, "text/html"),
        ("/client.js", client, "text/javascript"),
        ("/scenario.mjs", SCENARIO.read_text(), "text/javascript"),
    ):
        pages.add_url_rule(path, path, lambda text=text, kind=kind: Response(text, mimetype=kind))
    return pages


def test_it_is_served_to_pages_of_any_origin(app: AppClient) -> None:
    """As what it is, without a key."""
    answer = app.client.get("/client.js", buffered=True)
    assert answer.get_data() == CLIENT_FILE.read_bytes()
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
