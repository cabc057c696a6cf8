"""The Sites section in a real browser: state, the check of a page, learning a page, and editing a recipe."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from ops.infra.settings import SHIPPED_RECIPES, Settings
from schemas.accounts.caller import Scope
from schemas.messages import CHECK_SITE, LEARN_SITE
from stores.accounts.api_keys import KeyChange
from tests.conftest import API_KEY, eventually
from tests.integration.conftest import AppClient, close_app, open_app, serve_app
from tests.support.console_browser import HOSTILE, require_accessible, visit

HTML = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAAC"
PAGE_URL = "http://127.0.0.1:9/"


@pytest.fixture
def sites(settings: Settings, tmp_path: Path) -> Iterator[AppClient]:
    """An app with an empty folder for the user's recipes."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    app = open_app(replace(settings, recipes_dir=folder))
    yield app
    close_app(app)


def test_a_site_is_checked_learned_and_edited(sites: AppClient) -> None:
    """The check shows each element; a draft opens in the editor, which says what is wrong as one types."""
    draft = (SHIPPED_RECIPES / "comfyui.toml").read_text().replace("ComfyUI", "My page", 1)
    check = {
        "remarks": [HOSTILE],
        "screenshot": PIXEL,
        "results": [{"name": "steps[0]", "matched": HOSTILE, "state": "bad", "words": "missing"}],
    }
    queries = sites.stores.site_queries

    async def work(page: Page) -> None:
        await page.goto(f"{url}/console/sites")
        await expect(page.get_by_role("link", name="studio").first).to_be_visible()
        await require_accessible(page)
        queries.store_answer(CHECK_SITE, "studio", "", check)
        await page.goto(f"{url}/console/sites/studio")
        await page.get_by_role("button", name="Check now").click()
        await expect(page.get_by_role("status").first).to_contain_text("The page was checked.")
        await expect(page.locator("table")).to_contain_text("missing")
        await expect(page.locator("table")).to_contain_text("<script>")
        await require_accessible(page)

        await page.goto(f"{url}/console/sites")
        await page.get_by_label("Address of a page").fill(PAGE_URL)
        await page.get_by_label("This page is my own").check()
        queries.store_answer(LEARN_SITE, "", PAGE_URL, {"name": "mine", "text": f"# {HOSTILE}\n{draft}"})
        await page.get_by_role("button", name="Look at the page").click()
        await expect(page.locator("#mistakes")).to_contain_text("This is a valid recipe.")
        await require_accessible(page)
        await page.get_by_label("Recipe (TOML)").fill("title = 7")
        await expect(page.locator("#mistakes")).to_contain_text("steps")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("alert")).to_contain_text("steps")
        await page.get_by_label("Recipe (TOML)").fill(draft)
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("status").first).to_contain_text("Saved")
        assert sites.stores.recipes.get("mine").name == "mine"

    with serve_app(sites.client.application) as url:
        visit(url, work)


def test_recipes_of_the_user_are_read_again_when_they_change(sites: AppClient) -> None:
    """A new file is a new site within a second; one with a mistake leaves everything as it was."""
    folder, recipes = sites.stores.recipes.user_folder, sites.stores.recipes
    assert folder
    text = (SHIPPED_RECIPES / "studio.toml").read_text()
    before = len(recipes.list_all())
    (folder / "broken.toml").write_text("title = ")
    (folder / "other.toml").write_text((SHIPPED_RECIPES / "comfyui.toml").read_text())
    assert len(recipes.list_all()) == before
    (folder / "broken.toml").unlink()

    eventually(lambda: len(recipes.list_all()) == before + 1)
    assert recipes.read_text("studio") == (text, False)


def test_only_admins_see_a_page_behind_a_login(sites: AppClient) -> None:
    """Others see which elements were found, but no picture and no words of the page; so of checks without that fact."""
    key = sites.stores.api_keys.create("reader", KeyChange(scopes=frozenset({Scope.READ})))
    reader, admin = {**HTML, "x-api-key": key}, {**HTML, "x-api-key": API_KEY}
    results = [{"name": "steps[0]", "matched": "#prompt", "state": "bad", "words": "covered by secret words"}]
    check = {"remarks": ["a secret remark"], "screenshot": PIXEL, "results": results}

    def seen(headers: dict[str, str], answer: dict[str, Any]) -> list[bool]:
        sites.stores.site_queries.store_answer(CHECK_SITE, "studio", "", answer)
        page = sites.client.get("/console/sites/studio", headers=headers).text
        return [words in page for words in ("secret", PIXEL, "steps[0]", "could not be checked")]

    assert seen(reader, {**check, "with_login": True}) == [False, False, True, False]
    assert seen(reader, check) == [False, False, True, False]
    assert seen(reader, {**check, "with_login": False}) == [True, True, True, False]
    assert seen(admin, {**check, "with_login": True}) == [True, True, True, False]
    failure = {"error": "The page says: secret", "hint": "", "with_login": True}
    assert seen(reader, failure) == [False, False, False, True]
    assert seen(admin, failure) == [True, False, False, False]


def test_only_admins_change_sites(sites: AppClient) -> None:
    """Others see the state of each site; names that are no recipe's are refused."""
    key = sites.stores.api_keys.create("reader", KeyChange(scopes=frozenset({Scope.READ, Scope.GENERATE})))
    reader, admin = {**HTML, "x-api-key": key}, {**HTML, "x-api-key": API_KEY}

    assert "Check now" not in sites.client.get("/console/sites/studio", headers=reader).text
    for path in ("studio/check", "studio/close", "studio/accept", "learn", "edit/studio", "validate/studio"):
        assert sites.client.post(f"/console/sites/{path}", headers=reader).status_code == 403, path
    assert sites.client.get("/console/sites/edit/studio", headers=reader).status_code == 403
    assert sites.client.post("/console/sites/studio/close", headers=admin).status_code == 303
    assert sites.client.post("/console/sites/studio/check", headers=admin).status_code == 503
    for name in ("../evil", "UPPER", "a" * 60, HOSTILE):
        answer = sites.client.post(f"/console/sites/edit/{name}", data={"text": "title = 'x'"}, headers=admin)
        assert answer.status_code in (400, 404, 405), name
    for data in (
        {"url": "file:///etc/passwd", "own": "1"},
        {"url": "http://x.example/"},
        {"url": "http://[x", "own": "1"},
    ):
        assert sites.client.post("/console/sites/learn", data=data, headers=admin).status_code == 400
