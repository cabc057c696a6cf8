"""Finds out why a step of a recipe failed: a busy site, a login or an empty page lacks the recipe's elements too."""

import asyncio
import contextlib

from playwright.async_api import Error, Page

from schemas.errors import NeedsHuman, ServiceError, SiteChanged, SiteUnavailable
from schemas.sites.observe import WatchSpec
from workers.sites.diagnostics.failure_report import FailureReport
from workers.sites.diagnostics.selector_suggestions import find_similar_elements
from workers.sites.driver.selectors import locate
from workers.sites.policy.robots import PolitenessPolicy

MAX_TEXT_CHARS = 200
MAX_MESSAGE_CHARS = 2000
CHECK_TIMEOUT_S = 3.0
# The words of a page without anything to use or to look at, null for all others: such a page has not (yet) started.
EMPTY_PAGE_SCRIPT = """() => {
  const usable = "input, textarea, select, button, a[href], [role=button], [contenteditable], img, canvas, iframe";
  const body = document.body;
  if (body && [...body.querySelectorAll(usable)].some((element) => element.checkVisibility())) return null;
  const text = body ? body.innerText.trim() : "";
  return text.length < 200 ? text : null;
}"""


class Diagnosis:
    """Diagnoses failures on one page; ``human`` names the elements by which the page asks for a person."""

    def __init__(
        self, page: Page, human: WatchSpec | None, politeness: PolitenessPolicy, failure_report: FailureReport
    ) -> None:
        self._page = page
        self._human = human
        self._politeness = politeness
        self._failure_report = failure_report

    async def find_obstacle(self) -> ServiceError | None:
        """Return why no step can succeed now: the site asks for a pause or for a person; None if it does not."""
        if self._politeness.busy_error:
            return self._politeness.busy_error
        if text := await self._read_human_prompt():
            return NeedsHuman(f"The site asks for a person: {text[:MAX_TEXT_CHARS]}")
        return None

    async def explain(self, error: ServiceError) -> ServiceError:
        """Return the cause of ``error``."""
        if obstacle := await self.find_obstacle():
            return obstacle
        if not (isinstance(error, SiteChanged) and error.details.get("selectors")):
            return error
        step = error.details.get("step", "a step")
        words = await self._read_empty_page()
        if words is not None:
            shown = f"shows only: {words}" if words else "is empty"
            return SiteUnavailable(f"{step}: the page {shown}")
        similar = await find_similar_elements(self._page, error.details["selectors"])
        self._failure_report.explanation = {**error.details, "similar": similar}
        suggestions = ", ".join(element["selector"] for element in similar) or "nothing"
        message = f"{step}: {error.message} Most similar on the page: {suggestions}."
        return SiteChanged(message[:MAX_MESSAGE_CHARS], **error.details)

    async def _read_human_prompt(self) -> str:
        """Return the text by which the page asks for a login or the like; empty if it does not, or does not answer."""
        with contextlib.suppress(TimeoutError, Error):
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                for chain in self._human.selectors if self._human else ():
                    element = locate(self._page, chain).filter(visible=True).first
                    if await element.count():
                        return " ".join((await element.inner_text()).split()) or "(no text)"
        return ""

    async def _read_empty_page(self) -> str | None:
        """Return the words of a page that has not started; None if it has, or does not answer."""
        with contextlib.suppress(TimeoutError, Error):
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                words = await self._page.evaluate(EMPTY_PAGE_SCRIPT)
                return words if isinstance(words, str) else None
        return None
