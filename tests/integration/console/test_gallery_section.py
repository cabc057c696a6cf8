"""The Gallery section in a real browser: collections are made, filled from jobs, arranged, changed and deleted."""

from collections.abc import Sequence

from playwright.async_api import Page, expect

from ops.infra.settings import Settings
from schemas.accounts.caller import Scope
from schemas.jobs.job import GeneratedImage
from stores.accounts.api_keys import KeyChange
from tests.integration.conftest import AppClient, serve_app
from tests.integration.gallery.picture_stack import open_stack
from tests.support.console_browser import HOSTILE, require_accessible, visit
from tests.support.images import draw_image, encode

SECTION = "/console/gallery"
RENAMED = f"Renamed: {HOSTILE}"
HTML = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}


def complete_job(app: AppClient, prompt: str, width: int) -> str:
    """Complete a job with a picture of this width; return its id."""
    job_id, attempts = app.submit(prompt), app.stores.attempts
    job = attempts.claim("w1")
    assert job
    attempts.mark_accepted(job)
    picture = GeneratedImage(encode(draw_image((width, 48)), "PNG"), "image/png", width, 48)
    keys = attempts.store_images(job, [picture], encode(draw_image((width, 48)), "JPEG"))
    attempts.complete(job, [picture], keys)
    return job_id


async def names(page: Page) -> list[str]:
    """The names of the pictures in their order."""
    return [name.strip() for name in await page.locator(".arranged-name").all_inner_texts()]


async def keep_from_job(page: Page, job_url: str, collection: str) -> None:
    """Keep the picture of a job from its own page."""
    await page.goto(job_url)
    await require_accessible(page)
    await page.get_by_label("Collection").select_option(collection)
    await page.get_by_role("button", name="Keep", exact=True).click()
    await expect(page.get_by_role("status").filter(has_text="The picture is kept.")).to_be_visible()
    await expect(page.get_by_role("heading", name=collection)).to_be_visible()


async def add_pictures(page: Page, numbers: Sequence[int]) -> None:
    """Add the pictures of the jobs with these numbers, one after the other, to one picture that is there."""
    for count, number in enumerate(numbers, start=2):
        await page.locator(".candidate").filter(has_text=f"{number} <img").click()
        await expect(page.get_by_role("status").filter(has_text="The picture is kept.")).to_be_visible()
        await expect(page.locator(".arranged")).to_have_count(count)


async def arrange(page: Page) -> None:
    """Move the first picture behind the second by its button, and drag the last one to the front."""
    first, second, third = await names(page)
    await page.get_by_role("button", name=f"Move {first} later").click()
    await expect(page.locator(".arranged-name").first).to_have_text(second)
    async with page.expect_response(lambda response: response.url.endswith("/move") and response.ok):
        await page.locator(".arranged").nth(2).drag_to(page.locator(".arranged").nth(0))
    await expect(page.locator(".arranged-name").first).to_have_text(third)
    assert await names(page) == [third, second, first]


async def add_from_computer(page: Page) -> None:
    """Add a picture and a file that is not a picture; an unsaved edit stays."""
    edit = page.locator(".arranged").nth(0)
    await edit.get_by_text("Edit").click()
    await edit.get_by_label("Description").fill("not saved")
    picture = {"name": f"{HOSTILE}.png", "mimeType": "image/png", "buffer": encode(draw_image((96, 48)), "PNG")}
    await page.locator("#file").set_input_files([{**picture, "buffer": b"none"}, picture])
    await expect(page.locator(".file-drop [role=status]")).to_have_text("1 of 2 added.")
    await expect(page.locator(".arranged")).to_have_count(3)
    assert (await names(page))[-1] == HOSTILE
    await expect(edit.get_by_label("Description")).to_have_value("not saved")


async def rename_and_delete(page: Page) -> None:
    """Rename the first picture with a hostile text, and delete the second after a question.

    The new name has more than the private prompt, of which others would see no trace.
    """
    edit = page.locator(".arranged").nth(0)
    await edit.get_by_text("Edit").click()
    await edit.get_by_label("Name").fill(RENAMED)
    await edit.get_by_label("Description").fill("two\nlines")
    await edit.get_by_label("Only I see the prompt").check()
    await edit.get_by_role("button", name="Save").click()
    await expect(page.locator(".arranged-name").first).to_have_text(RENAMED)
    removed = page.locator(".arranged").nth(1)
    await removed.get_by_text("Edit").click()
    await removed.get_by_text("Delete…").click()
    await removed.get_by_role("button", name="Delete the picture").click()
    await expect(page.locator(".arranged")).to_have_count(2)


def test_collections_are_made_filled_and_arranged(settings: Settings) -> None:
    """Everything works by pointer; the page for others shows the same order; hostile texts stay texts."""

    async def use_section(page: Page) -> None:
        await page.goto(f"{url}{SECTION}")
        await expect(page.get_by_role("heading", name="No collections yet")).to_be_visible()
        await require_accessible(page)
        await page.get_by_label("Name").fill("Quiet lakes")
        await page.get_by_label("Description").fill(HOSTILE)
        await page.get_by_role("button", name="Create the collection").click()
        await expect(page.get_by_role("heading", name="Quiet lakes")).to_be_visible()
        await keep_from_job(page, f"{url}/console/jobs/{job_ids[0]}", "Quiet lakes")
        await add_pictures(page, (1, 2))
        await arrange(page)
        await rename_and_delete(page)
        await add_from_computer(page)
        await require_accessible(page)
        await page.get_by_role("link", name="Open the page").click()
        await expect(page.locator(".caption-name").first).to_have_text(RENAMED)
        await expect(page.locator(".tile")).to_have_count(3)
        await page.goto(f"{url}{SECTION}/quiet-lakes")
        await page.get_by_label("Name", exact=True).last.fill("Louder lakes")
        await page.get_by_label("Archived").check()
        await page.get_by_role("button", name="Save").last.click()
        await expect(page).to_have_url(f"{url}{SECTION}/louder-lakes?done=changed")
        await page.goto(f"{url}{SECTION}")
        await expect(page.locator(".collection-card")).to_contain_text("3 pictures · archived")
        await require_accessible(page)

    with open_stack(settings) as stack, serve_app(stack.app.client.application) as url:
        job_ids = [complete_job(stack.app, f"{number} {HOSTILE}", 64 + number) for number in range(3)]
        visit(url, use_section)
        collection = stack.app.stores.gallery.collections.find("louder-lakes").collection
        assert (collection.token_count, collection.name) == (3, "Louder lakes")


def test_the_section_refuses_invalid_and_forbidden_requests(app: AppClient) -> None:
    """Other callers' collections, keys without the scope, wrong input: each with a page that says why."""
    key = app.stores.api_keys.create("reader", KeyChange(scopes=frozenset({Scope.READ})))
    reader = HTML | {"x-api-key": key}
    created = app.post(SECTION, data={"name": "Mine"}, headers=HTML)
    assert (created.status_code, created.headers["Location"]) == (303, f"{SECTION}/mine")

    assert app.client.get(SECTION).status_code == 401
    assert app.client.get(SECTION, headers=reader).status_code == 200
    assert app.client.post(SECTION, data={"name": "x"}, headers=reader).status_code == 403
    assert app.client.get(f"{SECTION}/mine", headers=reader).status_code == 403
    for path, form, status in (
        (SECTION, {"name": ""}, 400),
        (SECTION, {"name": "x" * 5000}, 400),
        (f"{SECTION}/mine", {"name": ""}, 400),
        (f"{SECTION}/mine/pictures", {"job": "f" * 32}, 404),
        (f"{SECTION}/mine/pictures", {"job": HOSTILE}, 404),
        (f"{SECTION}/mine/pictures/0x12", {"name": "x"}, 404),
        (f"{SECTION}/nothing", {"name": "x"}, 404),
        (f"{SECTION}/mine/delete", {}, 303),
    ):
        answer = app.post(path, data=form, headers=HTML)
        assert answer.status_code == status, (path, answer.text)
        assert "<script>document" not in answer.text
