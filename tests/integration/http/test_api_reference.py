"""The API reference in a browser: its headings, and operations that are tried with the session or with a key."""

import json
from typing import Any

import httpx
from playwright.async_api import Locator, Page, expect

from tests.conftest import API_KEY, TIMEOUT_S
from tests.integration.conftest import AppClient
from tests.support.automatic_worker import AutomaticWorker
from tests.support.console_browser import require_accessible, visit
from tests.support.images import VALID_IMAGES

PNG = VALID_IMAGES["png"][0]


async def open_operation(page: Page, operation_id: str) -> Locator:
    """Open the form of an operation."""
    operation = page.locator(f"#{operation_id}")
    await operation.locator("summary").click()
    await expect(operation.get_by_role("button", name="Send")).to_be_visible()
    return operation


async def send(operation: Locator, status: int) -> str:
    """Send the request of a form; return the body of the answer as text."""
    await operation.get_by_role("button", name="Send").click()
    await expect(operation.locator(".result .status")).to_contain_text(f"{status} ")
    answer = operation.locator(".result .answer")
    await expect(answer).not_to_be_empty()
    return await answer.inner_text()


def test_operations_are_tried_with_the_session(app: AppClient, app_url: str) -> None:
    """A person who has signed in submits a job, follows its events, and sees its picture."""

    async def work(page: Page) -> None:
        await page.goto(f"{app_url}/docs")
        await expect(page.get_by_role("heading", name="Model library", exact=True)).to_be_visible()
        await expect(page.locator("#session")).to_contain_text("Signed in as owner")
        create = await open_operation(page, "jobsCreate")
        job: dict[str, Any] = json.loads(await send(create, 202))
        assert job["prompt"] == "a lighthouse at dusk, oil painting"
        await create.get_by_label("JSON", exact=True).fill('{"prompt": ""}')
        assert json.loads(await send(create, 400))["error"]["code"] == "invalid"

        events = await open_operation(page, "streamsOfJob")
        await events.get_by_label("job_id").fill(job["id"])
        await send(events, 200)
        await expect(events.locator(".answer")).to_contain_text("event: completed")

        picture = await open_operation(page, "jobsResult")
        await picture.get_by_label("job_id").fill(job["id"])
        await picture.get_by_role("button", name="Send").click()
        await expect(picture.locator(".result img")).to_be_attached()
        await require_accessible(page)

    with AutomaticWorker(app.stores):
        visit(app_url, work)


def test_all_files_of_a_form_are_sent(app: AppClient, app_url: str) -> None:
    """A field with several files takes and sends them; the answer names the one that the site has no input for."""
    files = [{"name": f"{name}.png", "mimeType": "image/png", "buffer": PNG} for name in ("first", "second")]

    async def work(page: Page) -> None:
        await page.goto(f"{app_url}/docs")
        edit = await open_operation(page, "openaiImagesEditImages")
        await edit.get_by_label("model", exact=True).fill("automatic1111_img2img")
        await edit.get_by_label("image[]", exact=True).set_input_files(files)
        refused = json.loads(await send(edit, 400))["error"]
        assert "image[1]" in refused["message"]

    visit(app_url, work)


def test_operations_are_tried_with_a_key(app: AppClient, app_url: str) -> None:
    """Without a session, or instead of it, a key is sent; it does not leave the page."""

    async def work(page: Page) -> None:
        await page.context.clear_cookies()
        await page.goto(f"{app_url}/docs#quotaRead")
        await expect(page.locator("#session")).to_contain_text("Not signed in")
        quota = page.locator("#quotaRead")
        assert "unauthorized" in await send(quota, 401)
        await page.get_by_label("API key").fill(API_KEY)
        assert json.loads(await send(quota, 200))["plan"] == "owner"
        search = await open_operation(page, "modelsList")
        await search.get_by_label("search").fill("ukiyo -tag:style")
        assert json.loads(await send(search, 200))["total"] == 0
        assert await page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]

    visit(app_url, work, expected=(401,))


def test_the_reference_needs_no_script_to_be_read(app_url: str) -> None:
    """The page states every operation, every field and every error in HTML, and its policy allows no other host."""
    page = httpx.get(f"{app_url}/docs", timeout=TIMEOUT_S, trust_env=False)

    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "//" not in page.headers["Content-Security-Policy"]
    for text in ("jobsCreate", "schema-JobView", "site_refused", "Pictures to begin with", "always there"):
        assert text in page.text
