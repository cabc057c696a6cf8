"""Politeness towards sites of third parties: robots.txt (RFC 9309) and requests for a pause (429, Retry-After)."""

import asyncio
import time
from collections.abc import Callable
from typing import ClassVar
from urllib.parse import urlsplit

import httpx
from playwright.async_api import Page, Response
from protego import Protego

from schemas.errors import RobotsDisallowed, SiteBusy, SiteUnavailable
from schemas.http.retry_after import parse_retry_after
from schemas.http.urls import url_origin
from schemas.sites.recipe import Recipe

ROBOTS_AGENT = "Darkroom"
ROBOTS_CACHE_TTL_S = 86_400
ROBOTS_TIMEOUT_S = 10.0
MAX_REDIRECTS = 5
MAX_ROBOTS_BYTES = 500 * 1024
DEFAULT_PAUSE_S = 60
MAX_PAUSE_S = 3600


class PolitenessPolicy:
    """Decides whether one visit may open the site's page, and notices when the site asks for a pause.

    ``busy_error`` is set once the site has asked for a pause.
    """

    # By origin, shared by all visits of this process: time of reading (monotonic) and rules.
    _robots_cache: ClassVar[dict[str, tuple[float, Protego]]] = {}

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._origin = url_origin(recipe.url) or ""
        self.busy_error: SiteBusy | None = None

    async def check_robots(self) -> None:
        """Check that robots.txt allows the recipe's pages; it is cached for a day, and ignored for the user's own site.

        Raises:
            RobotsDisallowed: robots.txt does not allow a page.
            SiteBusy: the site answers 429.
            SiteUnavailable: robots.txt cannot be read, so its rules are unknown.
        """
        if self._recipe.consent.ownership == "own":
            return
        read_at, rules = self._robots_cache.get(self._origin, (0.0, None))
        if rules is None or time.monotonic() - read_at > ROBOTS_CACHE_TTL_S:
            rules = await asyncio.to_thread(self._read_robots)
            self._robots_cache[self._origin] = (time.monotonic(), rules)
        if not all(rules.can_fetch(url, ROBOTS_AGENT) for url in self._known_urls()):
            raise RobotsDisallowed(
                f"{self._origin}/robots.txt does not allow {ROBOTS_AGENT} to visit {self._recipe.name}."
            )

    def _known_urls(self) -> list[str]:
        """Return the URLs that the recipe opens; of a URL with placeholders, the part before the first one."""
        steps = [step.url.replace("{{url}}", self._recipe.url) for step in self._recipe.steps if step.url]
        return [self._recipe.url, *(url.partition("{{")[0] for url in steps if url_origin(url) == self._origin)]

    def _read_robots(self) -> Protego:
        """Fetch and parse robots.txt; not through the browser, because no page is open yet."""
        try:
            status, body = _fetch(f"{self._origin}/robots.txt")
        except httpx.HTTPError as error:
            raise SiteUnavailable(f"{self._origin}/robots.txt cannot be read.") from error
        if status == httpx.codes.TOO_MANY_REQUESTS:
            raise SiteBusy(f"{self._origin}/robots.txt answers with status 429.", retry_after_s=DEFAULT_PAUSE_S)
        if status >= 500:
            raise SiteUnavailable(f"{self._origin}/robots.txt answers with status {status}.")
        # RFC 9309, 2.3.1.3: a robots.txt that is unavailable (4xx) allows everything.
        return Protego.parse(body.decode(errors="replace") if status < 300 else "")

    def listen(self, page: Page, on_busy: Callable[[], None]) -> None:
        """Watch the page's responses for 429, or 503 with Retry-After; ``on_busy`` runs after ``busy_error`` is set."""

        def on_response(response: Response) -> None:
            retry_after = response.headers.get("retry-after")
            asks_for_pause = response.status == 429 or (response.status == 503 and retry_after)
            if asks_for_pause and url_origin(response.url) == self._origin:
                seconds = retry_after_seconds(retry_after, response.headers.get("date"))
                message = f"{self._recipe.name} asks for a pause of {seconds} s."
                self.busy_error = SiteBusy(message, retry_after_s=seconds)
                on_busy()

        page.on("response", on_response)


def retry_after_seconds(header: str | None, date: str | None = None) -> int:
    """Return the pause that a Retry-After header asks for, between 1 s and ``MAX_PAUSE_S``; ``date`` as there."""
    seconds = parse_retry_after(header, time.time(), date)
    return DEFAULT_PAUSE_S if seconds is None else max(1, min(round(seconds), MAX_PAUSE_S))


def _fetch(url: str) -> tuple[int, bytes]:
    """Return status and body (cut at ``MAX_ROBOTS_BYTES``); redirects are followed on the same host only."""
    for _ in range(MAX_REDIRECTS):
        with httpx.stream("GET", url, headers={"User-Agent": ROBOTS_AGENT}, timeout=ROBOTS_TIMEOUT_S) as response:
            redirect = str(response.next_request.url) if response.next_request else ""
            if not redirect or urlsplit(redirect).hostname != urlsplit(url).hostname:
                return response.status_code, _read_limited(response)
        url = redirect
    return httpx.codes.NOT_FOUND, b""


def _read_limited(response: httpx.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) >= MAX_ROBOTS_BYTES:
            break
    return bytes(body[:MAX_ROBOTS_BYTES])
