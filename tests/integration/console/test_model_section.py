"""The Models section in a real browser: thousands of models, edits with undo, pictures, the state of the library."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect
from sqlalchemy import event, insert, select

from ops.infra.settings import Settings
from schemas.jobs.job import GeneratedImage
from stores.library.tables import details, models
from tests.conftest import API_KEY
from tests.integration.conftest import serve_app
from tests.support.console_browser import HOSTILE, require_accessible, visit
from tests.support.images import draw_image, encode
from tests.support.library import LibraryApp, open_library_app, run_image_inspector
from tests.support.model_files import write_safetensors

PICTURE = encode(draw_image((96, 64)), "PNG")
HTML = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin", "x-api-key": API_KEY}
COUNT = 5000


@pytest.fixture
def library(settings: Settings, tmp_path: Path) -> Iterator[LibraryApp]:
    """An app with a LoRA, the same file twice, and a file that cannot be read."""
    folder = tmp_path / "models"
    write_safetensors(folder / "loras" / "ink wash.safetensors", data=b"ink")
    write_safetensors(folder / "loras" / "copy" / "ink wash.safetensors", data=b"ink")
    (folder / "loras" / "broken <b>.safetensors").write_bytes(b"not a model")
    with open_library_app(settings, folder) as library, run_image_inspector(library.stores):
        library.scan()
        library.hash()
        yield library


def add_many(library: LibraryApp) -> None:
    """Add thousands of models to the index, made from the first one."""
    with library.stores.engine.begin() as connection:
        row = dict(connection.execute(select(models)).mappings().first() or {})
        detail = dict(connection.execute(select(details)).mappings().first() or {})
        rows = [
            row | {"id": number, "name": f"model {number:05}", "name_key": f"model {number:05}", "flags": 0}
            for number in range(1000, 1000 + COUNT)
        ]
        connection.execute(insert(models), rows)
        connection.execute(insert(details), [detail | {"model_id": number["id"]} for number in rows])


async def mistype_rating(page: Page) -> Locator:
    """Save ratings that are no numbers, which are refused; return the field, with text that is not saved."""
    rating = page.get_by_label("Content rating", exact=True)
    problems = page.locator("#notices .is-bad")
    for count, text in enumerate(("three", ""), 1):
        await rating.fill(text)
        await page.get_by_role("button", name="Save Content rating").click()
        await expect(problems).to_have_text(["Content rating: A whole number is needed."] * count)
    await rating.fill("3, not saved")
    return rating


def test_models_are_found_among_thousands_edited_and_reverted(library: LibraryApp) -> None:
    """The grid holds few cards, whatever the number of models; an edit is undone, or reverted later."""
    add_many(library)

    async def work(page: Page) -> None:
        await page.goto(f"{url}/console/models?sort=name")
        await expect(page.locator("#found")).to_contain_text("5\u202f00")
        cards = page.locator(".model-cell")
        await expect(cards.first).to_be_visible()
        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        await expect(page.get_by_text(f"model {1000 + COUNT - 1:05}")).to_be_visible()
        assert await cards.count() < 200
        await require_accessible(page)

        await page.evaluate("scrollTo(0, 0)")
        await page.get_by_label("Search", exact=True).fill("dim:many")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("dim:>=32")
        await page.get_by_label("Search", exact=True).fill("ink is:duplicate")
        await page.keyboard.press("Enter")
        await page.get_by_role("link", name="ink wash").click()
        await expect(page.get_by_text("The same content as another file").first).to_be_visible()

        rating = await mistype_rating(page)
        name = page.get_by_label("Name", exact=True)
        await name.fill(HOSTILE)
        await page.get_by_role("button", name="Save Name").click()
        await expect(page.locator("h1")).to_have_text(HOSTILE)
        await require_accessible(page)
        await page.get_by_role("button", name="Undo").click()
        await expect(page.locator("h1")).to_have_text("ink wash")
        await expect(rating).to_have_value("3, not saved")
        await page.get_by_label("Notes", exact=True).fill(HOSTILE)
        await page.get_by_role("button", name="Save Notes").click()
        await expect(page.locator("#about-notes")).to_contain_text("From you")
        await page.get_by_role("button", name="Revert Notes").click()
        await expect(page.locator("#about-notes")).to_contain_text("Nothing is known")

        await page.locator("#file").set_input_files([{"name": "a.png", "mimeType": "image/png", "buffer": PICTURE}])
        await expect(page.locator(".picture-list li")).to_have_count(1)
        await expect(page.get_by_role("link", name="Use in Make")).to_have_attribute(
            "href", "/console/make?lora=ink+wash"
        )
        await page.get_by_text("Delete…").click()
        await page.get_by_role("button", name="Delete the picture").click()
        await expect(page.get_by_text("No pictures yet.")).to_be_visible()

        await page.goto(f"{url}/console/models/state")
        await expect(page.locator(".problem-list")).to_contain_text("broken <b>.safetensors")
        await page.get_by_role("button", name="Scan now").click()
        await expect(page.get_by_role("status").first).to_contain_text("requested")
        await require_accessible(page)

    with serve_app(library.app.client.application) as url:
        visit(url, work)


def test_the_progress_of_a_scan_is_read_without_the_rest(library: LibraryApp) -> None:
    """It is asked for again and again, so nothing is counted that it does not show."""
    statements: list[str] = []

    def note(*about: Any) -> None:
        statements.append(about[2])

    event.listen(library.stores.engine, "before_cursor_execute", note)
    part = library.app.client.get("/console/models/state?part=scan", headers=HTML)
    event.remove(library.stores.engine, "before_cursor_execute", note)

    assert (part.status_code, 'id="scan"' in part.text, "Figures" in part.text) == (200, True, False)
    assert len([each for each in statements if "library_" in each]) == 1


def test_edits_work_without_a_script_and_facets_have_counts(library: LibraryApp) -> None:
    """A form sets or reverts one field and says what is wrong with it; a picture of a job is kept."""
    client = library.app.client
    model_id = library.get("", search="ink")["items"][0]["id"]
    path = f"/console/models/{model_id}"
    assert 'class="help numbers">2</span>' in client.get("/console/models", headers=HTML).text

    assert client.post(path, data={"field": "tags", "value": "a\r\n b\r\n"}, headers=HTML).status_code == 303
    assert library.get(f"/{model_id}")["tags"] == ["a", "b"]
    assert client.post(path, data={"field": "tags", "revert": "1"}, headers=HTML).status_code == 303
    assert library.get(f"/{model_id}")["tags"] == []
    for data in ({"field": "nsfwLevel", "value": "x"}, {"field": "nothing", "value": "x"}, {"field": "name"}, {}):
        assert client.post(path, data=data, headers=HTML).status_code == 400

    app = library.app
    job_id = app.submit()
    job = app.stores.attempts.claim("w1")
    assert job
    app.stores.attempts.mark_accepted(job)
    image = GeneratedImage(PICTURE, "image/png", 96, 64)
    keys = app.stores.attempts.store_images(job, [image], PICTURE)
    app.stores.attempts.complete(job, [image], keys)
    kept = client.post(f"/console/jobs/{job_id}/keep", data={"model": model_id}, headers=HTML)
    assert kept.status_code == 303
    assert [picture["isUserUpload"] for picture in library.get(f"/{model_id}/images")] == [True]
