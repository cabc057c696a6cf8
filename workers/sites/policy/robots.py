"""The manners towards sites that are not the user's own: robots.txt, and a site's wish to be left alone."""

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
NOT_FOUND = 404
MAX_ROBOTS_BYTES = 500 * 1024
DEFAULT_PAUSE_S = 60
MAX_PAUSE_S = 3600


class PolitenessPolicy:
    """How one attempt behaves towards its site."""

    _robots_cache: ClassVar[dict[str, tuple[float, Protego]]] = {}

    def __init__(self, recipe: Recipe) -> None:
        """Nobody has been asked yet."""
        self._recipe = recipe
        self._origin = url_origin(recipe.url) or recipe.url
        self.busy_error: SiteBusy | None = None

    async def check_robots(self) -> None:
        """See that robots.txt allows the page; it is read once a day for each host, and not at all for one's own.

        Raises:
            RobotsDisallowed: it does not.
            SiteUnavailable: it cannot be read, and so nobody knows.
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
        """Where the recipe goes, as far as that is known before there are values."""
        steps = [step.url.replace("{{url}}", self._recipe.url) for step in self._recipe.steps if step.url]
        return [self._recipe.url, *(url.partition("{{")[0] for url in steps if url_origin(url) == self._origin)]

    def _read_robots(self) -> Protego:
        """By ourselves and not by the browser: the address is the recipe's, and there is no page yet."""
        try:
            status, body = _fetch(f"{self._origin}/robots.txt")
        except httpx.HTTPError as error:
            raise SiteUnavailable(f"{self._origin}/robots.txt cannot be read.") from error
        if status == 429:
            raise SiteBusy(f"{self._origin}/robots.txt asks to be left alone.", retry_after_s=DEFAULT_PAUSE_S)
        if status >= 500:
            raise SiteUnavailable(f"{self._origin}/robots.txt answers with status {status}.")
        # RFC 9309: a file that is not there forbids nothing.
        return Protego.parse(body.decode(errors="replace") if status < 300 else "")

    def listen(self, page: Page, on_busy: Callable[[], None]) -> None:
        """Hear a 429, or a 503 that says when to come back; ``told`` is called after ``busy`` is set."""

        def on_response(response: Response) -> None:
            asked = response.headers.get("retry-after")
            asks = response.status == 429 or (response.status == 503 and asked)
            if asks and url_origin(response.url) == self._origin:
                seconds = retry_after_seconds(asked)
                words = f"{self._recipe.name} asks to be left alone for {seconds} s."
                self.busy_error = SiteBusy(words, retry_after_s=seconds)
                on_busy()

        page.on("response", on_response)


def retry_after_seconds(retry_after: str | None) -> int:
    """Return the pause that a Retry-After header asks for, within bounds."""
    seconds = parse_retry_after(retry_after, time.time())
    return DEFAULT_PAUSE_S if seconds is None else max(1, min(round(seconds), MAX_PAUSE_S))


def _fetch(url: str) -> tuple[int, bytes]:
    """Status and the beginning of the body; a redirect is followed on the same host only."""
    for _ in range(MAX_REDIRECTS):
        with httpx.stream("GET", url, headers={"User-Agent": ROBOTS_AGENT}, timeout=ROBOTS_TIMEOUT_S) as answer:
            following = str(answer.next_request.url) if answer.next_request else ""
            if not following or urlsplit(following).hostname != urlsplit(url).hostname:
                return answer.status_code, _read_limited(answer)
        url = following
    return NOT_FOUND, b""


def _read_limited(answer: httpx.Response) -> bytes:
    body = bytearray()
    for part in answer.iter_bytes():
        body += part
        if len(body) >= MAX_ROBOTS_BYTES:
            break
    return bytes(body[:MAX_ROBOTS_BYTES])
