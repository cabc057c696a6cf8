"""Inspects sites on request: checks a recipe's selectors on its page, and drafts a recipe for a page without one.

An inspection visits the site under the same rules as a job and takes its turn. The answers, failures included, are
published through ``stores.site_queries``.
"""

import asyncio
import base64
import io
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog
from PIL import Image
from playwright.async_api import BrowserContext

from ops.infra.settings import SHIPPED_RECIPES
from schemas.errors import ServiceError
from schemas.http.urls import url_origin
from schemas.messages import CHECK_SITE, LEARN_SITE
from schemas.sites.recipe_schema import load_recipe
from stores import Stores
from workers.browsers.pool import BrowserPool
from workers.jobs.site_access import OnFlood, SiteVisits, authorize_visit
from workers.sites.cli.check import check_with_driver
from workers.sites.cli.learn import EMPTY_RECIPE
from workers.sites.cli.selector_report import Requirement, SelectorResult, annotate
from workers.sites.driver.driver import Driver
from workers.sites.learn.detection import SiteNotRecognizedError, detect_program
from workers.sites.learn.drafts import DraftError, learn_from_layout
from workers.sites.learn.page_survey import learn_from_page
from workers.sites.learn.recipe_draft import RecipeDraft, printable
from workers.sites.learn.recipe_files import choose_name, render_file
from workers.sites.policy.page_limits import PageLimits

CHECK_TIMEOUT_S = 60.0
LEARN_TIMEOUT_S = 180.0
MAX_SCREENSHOT_HEIGHT = 4000
JPEG_QUALITY = 70
Answer = dict[str, Any]

log = structlog.get_logger(__name__)


class SiteInspector:
    """Inspections in the browser of one worker."""

    def __init__(self, stores: Stores, browsers: BrowserPool) -> None:
        self._stores = stores
        self._visits = SiteVisits(stores, browsers)

    async def check(self, site: str, query: str) -> None:
        """Check the selectors of a site; ``query`` only identifies the answer."""
        await self._answer(CHECK_SITE, site, query, partial(self._check, site))

    async def learn(self, site: str, url: str) -> None:
        """Draft a recipe for the page at ``url``, without trying it; ``site`` only identifies the answer."""
        await self._answer(LEARN_SITE, site, url, partial(self._learn, url))

    async def _answer(self, actor: str, site: str, query: str, inspect: Callable[[], Awaitable[Answer]]) -> None:
        try:
            answer = await inspect()
        except ServiceError as error:
            log.info("site_inspection.failed", actor=actor, code=error.code)
            answer = _failure(error)
        await asyncio.to_thread(self._stores.site_queries.store_answer, actor, site, query, answer)

    async def _check(self, site: str) -> Answer:
        recipe = self._stores.recipes.get(site)
        storage_state = await asyncio.to_thread(authorize_visit, self._stores, recipe)
        remarks: list[str] = []

        async def check(context: BrowserContext, on_flood: OnFlood) -> Answer:
            driver = Driver(context, recipe, on_flood=on_flood)
            results, screenshot = await check_with_driver(driver, recipe, remarks.append)
            picture = await asyncio.to_thread(_to_jpeg, annotate(screenshot, results))
            return {
                "results": [_result_view(result) for result in results],
                "remarks": remarks,
                "screenshot": "data:image/jpeg;base64," + base64.b64encode(picture).decode(),
            }

        try:
            answer = await self._visits.visit(recipe, storage_state, check, timeout_s=CHECK_TIMEOUT_S, turn=recipe.name)
        except ServiceError as error:
            answer = _failure(error)
        # Pages behind the operator's login are not for all callers.
        return answer | {"with_login": storage_state is not None}

    async def _learn(self, url: str) -> Answer:
        try:
            program = await asyncio.to_thread(detect_program, url)
            if program.recipe and (SHIPPED_RECIPES / f"{program.recipe}.toml").exists():
                return {"known": program.recipe, "label": program.label, "url": program.url}
            if program.config is not None:
                draft = (await asyncio.to_thread(learn_from_layout, program))[0]
            else:
                # Only the address of this recipe is used: the browser may reach no other private one.
                visitor = load_recipe("learned", {**EMPTY_RECIPE, "url": program.url})
                draft = await self._visits.visit(
                    visitor,
                    None,
                    partial(_learn_from_page, url=program.url),
                    timeout_s=LEARN_TIMEOUT_S,
                    turn=self._site_at(program.url),
                )
        except (SiteNotRecognizedError, DraftError) as error:
            return {"error": printable(str(error)), "hint": "Recipes can also be written by hand; see docs/recipes.md."}
        folder = self._stores.settings.recipes_dir or SHIPPED_RECIPES
        return {"name": choose_name(None, program, folder), "text": render_file(draft, tested=False)}

    def _site_at(self, url: str) -> str | None:
        """Return the known site whose page is at ``url``, or else one of its server; a visit takes its turn."""
        recipes, origin = self._stores.recipes.list_all(), url_origin(url)
        same_page = [recipe.name for recipe in recipes if recipe.url == url]
        same_server = [recipe.name for recipe in recipes if url_origin(recipe.url) == origin]
        return next(iter(same_page + same_server), None)


async def _learn_from_page(context: BrowserContext, on_flood: OnFlood, url: str) -> RecipeDraft:
    limits = PageLimits(on_flood)
    await limits.install(context)
    context.on("page", limits.listen)
    return await learn_from_page(context, url=url, timeout_s=LEARN_TIMEOUT_S, report=_log_line)


def _failure(error: ServiceError) -> Answer:
    return {"error": error.message, "hint": error.hint}


def _log_line(line: str) -> None:
    log.debug("site_inspection.report", line=line)


def _result_view(result: SelectorResult) -> Answer:
    """Return a result in words: ``state`` is ``good``, ``warning``, ``bad`` or empty for what need not be there."""
    if result.is_missing or (result.is_required and result.problem):
        state, words = "bad", result.problem or "missing"
    elif result.problem:
        state, words = "warning", result.problem
    elif result.matched is None:
        state, words = "", "appears later" if result.target.requirement is Requirement.LATER else "not on this page"
    else:
        is_first = result.matched == result.first_selector
        state, words = "good", "found" if is_first else "found, by a later alternative"
    return {"name": result.target.name, "matched": result.matched or "", "state": state, "words": words}


def _to_jpeg(png: bytes) -> bytes:
    with Image.open(io.BytesIO(png)) as image:
        cut = image.convert("RGB").crop((0, 0, image.width, min(image.height, MAX_SCREENSHOT_HEIGHT)))
    out = io.BytesIO()
    cut.save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()
