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
from tests.support.automatic_worker import AutomaticWorker
from workers.browsers.launchers import local_browser

SCENARIO = Path(__file__).parent / "client_scenario.mjs"
RUN = """async (parameters) => {
    const { scenario } = await import("/scenario.mjs");
    return scenario(await import("/client.js"), parameters);
}"""
BLANK = "<!doctype html><title>client</title>"
# Shorter pauses between retries keep the tests fast.
SHORT_PAUSE = "const FIRST_PAUSE_MS = 500;", "const FIRST_PAUSE_MS = 5;"


@pytest.fixture
def client() -> str:
    """The source of the client, with short pauses."""
    text = CLIENT_FILE.read_text()
    assert SHORT_PAUSE[0] in text
    return text.replace(*SHORT_PAUSE)


@pytest.fixture(autouse=True)
def _automatic_worker(app: AppClient) -> Iterator[None]:
    """Run a worker that completes every job."""
    with AutomaticWorker(app.stores):
        yield


def scenario_parameters(url: str) -> dict[str, Any]:
    """Return what the scenario needs: the server, a key, and a signed delivery."""
    secret, body, now = generate_secret(), json.dumps({"type": "job.completed", "words": "ä"}), datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": f"v1a,xx v1,!! {Webhook(secret).sign('msg_1', now, body)}",
    }
    not_json = {"webhook-signature": Webhook(secret).sign("msg_1", now, "{")}
    delivery = {
        "secret": secret,
        "headers": headers,
        "body": body,
        "notJsonBody": "{",
        "notJsonHeaders": headers | not_json,
    }
    return {"url": url, "key": API_KEY, "delivery": delivery}


def check(observed: dict[str, Any]) -> None:
    """Assert what the scenario observed."""
    numbers, types = observed["numbers"], observed["types"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert (types[0], types[-1]) == ("queued", "completed")
    assert (observed["status"], observed["image"], observed["generatedBytes"]) == (
        "COMPLETED",
        "png bytes",
        len(IMAGE.data),
    )
    assert observed["failedJob"]["message"] == "Not here."
    assert (observed["failedJob"]["code"], observed["failedJob"]["job"]) == ("site_refused", "FAILED")
    assert (observed["invalidJob"]["status"], observed["invalidJob"]["problems"]) == (400, 2)
    assert (observed["wrongKey"]["status"], observed["unknownJob"]["status"]) == (401, 404)
    assert observed["cutStreams"] == [f"{number} {type_}" for number, type_ in zip(numbers, types, strict=True)]
    assert observed["blockedStreams"] == [f"{numbers[-1]} completed"]
    assert observed["aborted"] == "AbortError"
    assert observed["genuine"] == {"type": "job.completed", "words": "ä"}
    assert "no signature matches" in observed["forged"]["message"]
    assert "not signed" in observed["unsigned"]["message"]
    assert "too old" in observed["old"]["message"]
    assert ["Invalid secret" in error["message"] for error in observed["invalidSecrets"]] == [True] * 4
    assert "not JSON" in observed["notJson"]["message"]


def node_programs() -> list[str]:
    """Return Playwright's own Node and, if there is one, that of this machine."""
    return [program for program in (compute_driver_executable()[0], shutil.which("node")) if program]


@pytest.mark.parametrize("node", node_programs(), ids=["playwright", "system"][: len(node_programs())])
def test_client_works_in_node(node: str, app_url: str, client: str, tmp_path: Path) -> None:
    """The whole scenario passes in Node 20 or newer."""
    (tmp_path / "client.mjs").write_text(client)
    (tmp_path / "scenario.mjs").write_text(SCENARIO.read_text())
    (tmp_path / "run.mjs").write_text(
        'import * as client from "./client.mjs";\nimport { scenario } from "./scenario.mjs";\n'
        "console.log(JSON.stringify(await scenario(client, JSON.parse(process.argv[2]))));\n"
    )
    command = [node, str(tmp_path / "run.mjs"), json.dumps(scenario_parameters(app_url))]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 0, process.stderr
    check(json.loads(process.stdout))


def test_client_works_in_a_browser(app: AppClient, app_url: str, client: str) -> None:
    """The whole scenario passes on a page of the same origin, served over plain HTTP."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(local_browser(app.stores.settings).path))
        page = browser.new_page()
        page.route("**/blank", lambda route: route.fulfill(body=BLANK, content_type="text/html"))
        page.route("**/client.js", lambda route: route.fulfill(body=client, content_type="text/javascript"))
        page.route(
            "**/scenario.mjs", lambda route: route.fulfill(body=SCENARIO.read_text(), content_type="text/javascript")
        )
        page.goto(f"{app_url}/blank")
        observed = page.evaluate(RUN, scenario_parameters(app_url))
        browser.close()
    check(observed)


def test_client_works_on_a_page_of_another_origin(settings: Settings, client: str) -> None:
    """The whole scenario passes across origins (CORS) once the origin is listed in CORS_ORIGINS."""
    with serve_app(pages_of_another_site(client)) as origin:
        app = open_app(replace(settings, cors_origins=(origin,)))
        with serve_app(app.client.application) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(local_browser(settings).path))
            page = browser.new_page()
            page.goto(f"{origin}/blank")
            observed = page.evaluate(RUN, scenario_parameters(address))
            browser.close()
        close_app(app)
    check(observed)


def pages_of_another_site(client: str) -> Flask:
    """Return an application that serves the client and the scenario from its own origin."""
    pages = Flask(__name__)
    for path, text, media_type in (
        ("/blank", BLANK, "text/html"),
        ("/client.js", client, "text/javascript"),
        ("/scenario.mjs", SCENARIO.read_text(), "text/javascript"),
    ):
        pages.add_url_rule(path, path, lambda text=text, media_type=media_type: Response(text, mimetype=media_type))
    return pages


def test_client_is_served_to_pages_of_any_origin(app: AppClient) -> None:
    """``/client.js`` needs no key and allows every origin."""
    response = app.client.get("/client.js", buffered=True)
    assert response.get_data() == CLIENT_FILE.read_bytes()
    assert response.headers["Content-Type"].startswith("text/javascript")
    assert response.headers["Access-Control-Allow-Origin"] == "*"
