"""The Jobs section in a real browser: live rows, search, the report of a failure, and what may be done about it."""

import base64
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from schemas.accounts.caller import CallerLimits, Scope
from schemas.accounts.rate_limits import Rate
from schemas.errors import SiteChanged
from schemas.jobs.events import EventType
from schemas.jobs.job import GeneratedImage, Job, JobRequest, Progress
from stores.accounts.api_keys import KeyChange
from tests.conftest import API_KEY
from tests.integration.conftest import AppClient
from tests.support.console_browser import HOSTILE, require_accessible, visit
from tests.support.images import draw_image, encode

PICTURE = encode(draw_image((96, 64)), "JPEG")
BOARD = "**/console/jobs?part=board"
HTML = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
REPORT: dict[str, Any] = {
    "url": f"http://127.0.0.1:7860/?{HOSTILE}",
    "screenshot": "data:image/jpeg;base64," + base64.b64encode(PICTURE).decode(),
    "viewport": {"width": 960, "height": 640},
    "console": [f"error: {HOSTILE}"],
    "requests": [f"GET http://127.0.0.1:7860/{HOSTILE}: 404"],
    "dom": HOSTILE,
    "explanation": {
        "step": "Enter the prompt",
        "selectors": ["#prompt textarea", HOSTILE],
        "similar": [{"selector": "#positive", "text": HOSTILE, "html": HOSTILE, "box": "120 200 700 90"}],
    },
}


def submit(app: AppClient, prompt: str, number: int, owner: str = "owner") -> str:
    """Create a job."""
    job_id = f"{number:032x}"
    app.stores.jobs.create(job_id, owner, JobRequest("studio", prompt, inputs={"seed": 7}), "r")
    return job_id


def start(app: AppClient) -> Job:
    """Let a worker take the next job, up to the acceptance of its prompt."""
    job = app.stores.attempts.claim("w1")
    assert job
    app.stores.attempts.mark_accepted(job)
    return job


def complete(app: AppClient, job: Job) -> None:
    """Finish a job with a picture."""
    image = GeneratedImage(PICTURE, "image/jpeg", 96, 64)
    keys = app.stores.attempts.store_images(job, [image], PICTURE)
    app.stores.attempts.complete(job, [image], keys)


# Two presses of a button, and a third one once its form has been brought up to date and the page has been shown.
PRESS_THREE_TIMES = """async button => {
  const script = document.querySelector("script[src*='jobs/detail.js']").src;
  const { merge } = await import(new URL("../refresh.js", script));
  const fresh = button.form.cloneNode(true);
  const refused = [];
  addEventListener("submit", (event) => refused.push(event.defaultPrevented));
  button.click();
  button.click();
  merge(button.form, fresh);
  dispatchEvent(new PageTransitionEvent("pageshow"));
  button.click();
  return [refused, button.getAttribute("aria-disabled")];
}"""


def test_jobs_are_followed_searched_and_understood(app: AppClient, app_url: str) -> None:
    """Rows update automatically; a failure shows the selectors, the similar elements, and a way to try again."""
    failed = submit(app, HOSTILE, 1)
    app.stores.attempts.fail(start(app), SiteChanged("Enter the prompt: no element matches."), REPORT)

    async def work(page: Page) -> None:
        # The stream has opened.
        async with page.expect_response(BOARD):
            await page.goto(f"{app_url}/console/jobs")
        await expect(page.locator(".job-row")).to_have_count(1)
        await page.route(BOARD, lambda route: route.fulfill(status=503))
        async with page.expect_response(BOARD):
            running = submit(app, "a fox in the snow", 2)
            job = start(app)
        await page.unroute(BOARD)
        row = page.locator(f"#job-{running}")
        await expect(row).to_contain_text("Running")
        cancel = row.get_by_role("button", name="Cancel")
        await cancel.focus()
        app.stores.attempts.record_preview(job, PICTURE)
        app.stores.attempts.record_progress(job, Progress(45.0, 9, 20))
        await expect(row).to_contain_text("Running 45 %")
        await expect(row.locator("img")).to_be_visible()
        await expect(cancel).to_be_focused()
        complete(app, job)
        await expect(row).to_contain_text("Done")
        await require_accessible(page)

        await page.get_by_label("Words in the prompt").fill("onerror IMG")
        await page.keyboard.press("Enter")
        await expect(page.locator(".job-row")).to_have_count(1)
        await page.locator(".job-prompt").click()
        await expect(page.locator("h1")).to_have_text(HOSTILE)
        report = page.locator(".failure")
        for text in ("#prompt textarea", "#positive", "error: <img"):
            await expect(report).to_contain_text(text)
        await expect(report.locator("svg .mark")).to_have_attribute("x", "120")
        await require_accessible(page)

        again = page.get_by_role("button", name="Try again")
        assert await again.evaluate(PRESS_THREE_TIMES) == [[False, True, True], "true"]
        await expect(page.locator("#live")).to_contain_text("Waiting")
        assert len(app.get("/api/v1/jobs").json["jobs"]) == 3
        assert failed not in page.url
        cancel = page.get_by_role("button", name="Cancel")
        await cancel.focus()
        app.stores.attempts.record_progress(start(app), Progress(60.0, 12, 20))
        await expect(page.locator("#live")).to_contain_text("Running 60 %")
        await expect(cancel).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#live")).to_contain_text("Cancelling")

        await page.clock.install()
        await page.goto(f"{app_url}/console/jobs")
        await page.clock.fast_forward("01:00:00")
        await expect(page.locator("time").first).to_contain_text("1 h")

    visit(app_url, work)


@pytest.mark.parametrize("path", ["/", "/console/jobs"])
def test_no_event_falls_between_a_page_and_its_stream(
    app: AppClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """What happens after the page has read its data is in the stream from the position that the page states."""
    job_id = submit(app, "a fox in the snow", 1)

    def then_cancel(read: Callable[..., Any]) -> Callable[..., Any]:
        def read_and_cancel(*args: Any) -> Any:
            found = read(*args)
            app.stores.jobs.cancel(job_id)
            return found

        return read_and_cancel

    monkeypatch.setattr(app.stores.jobs, "list_page", then_cancel(app.stores.jobs.list_page))
    monkeypatch.setattr(app.stores.job_search, "find_page", then_cancel(app.stores.job_search.find_page))
    position = re.search('data-stream="([^"]+)"', app.get(path, headers=HTML).text)
    assert position
    missed = app.stores.event_log.read_owner("owner", position[1])
    assert EventType.FAILED in [event.type for _, event in missed]


def test_callers_see_their_own_jobs_and_admins_all(app: AppClient) -> None:
    """Others' jobs look like missing ones, also to actions; an admin may look and cancel."""
    key = app.stores.api_keys.create("reader", KeyChange(scopes=frozenset({Scope.READ, Scope.GENERATE})))
    foreign = submit(app, "a secret prompt", 1)
    own = submit(app, "my own prompt", 2, owner=key.split("_")[1])
    headers = {**HTML, "x-api-key": key}
    admin = {**HTML, "x-api-key": API_KEY}

    board = app.client.get("/console/jobs?who=all", headers=headers).text
    assert ("my own prompt" in board, "a secret prompt" in board) == (True, False)
    posts = ("/cancel", "/retry", "/keep", "/collect")
    for method, path in (("GET", ""), ("GET", "/trace"), *(("POST", path) for path in posts)):
        answer = app.client.open(f"/console/jobs/{foreign}{path}", method=method, headers=headers)
        assert answer.status_code == (403 if path in ("/keep", "/collect") else 404), path
    assert "my own prompt" in app.client.get("/console/jobs?who=all", headers=admin).text
    assert "my own prompt" not in app.client.get("/console/jobs", headers=admin).text
    assert app.client.post(f"/console/jobs/{own}/cancel", headers=admin).status_code == 303
    assert app.get_job(foreign)["status"] == "QUEUED"


def test_trying_again_counts_as_a_submission(app: AppClient) -> None:
    """A key that may submit twice a minute may do so here too, but no third time."""
    change = KeyChange(scopes=frozenset({Scope.READ, Scope.GENERATE}), limits=CallerLimits(rate=Rate(2, 60)))
    key = app.stores.api_keys.create("slow", change)
    own = submit(app, "a slow prompt", 1, owner=key.split("_")[1])
    headers = {**HTML, "x-api-key": key}

    answers = [app.client.post(f"/console/jobs/{own}/retry", headers=headers) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [303, 303, 429]
    assert "Too many requests" in answers[2].text
    body = {"prompt": "by the API"}
    assert app.client.post("/api/v1/jobs", json=body, headers={"x-api-key": key}).status_code == 429


def test_a_trace_is_downloaded(app: AppClient) -> None:
    """It is a file, and missing ones say why."""
    job_id = submit(app, "a failure with a trace", 1)
    job = start(app)
    app.stores.attempts.store_trace(job, b"PK trace")
    app.stores.attempts.fail(job, SiteChanged("no"), None)

    answer = app.get(f"/console/jobs/{job_id}/trace")
    assert (answer.data, answer.mimetype) == (b"PK trace", "application/zip")
    assert "attachment" in answer.headers["Content-Disposition"]
    other = submit(app, "a job without a trace", 2)
    assert "only failed retries" in app.get(f"/console/jobs/{other}/trace", headers=HTML).text


@pytest.mark.parametrize("cursor", ["x", "MTo=", ""])
def test_addresses_that_were_made_up_are_answered_by_pages(app: AppClient, cursor: str) -> None:
    """Whatever stands in the address, the answer is a page."""
    answer = app.get("/console/jobs", query_string={"cursor": cursor, "state": HOSTILE, "q": "\0" * 500}, headers=HTML)
    assert answer.status_code in (200, 400)
    assert HOSTILE not in answer.text
