"""Blocks media, fonts, trackers and private addresses other than the site's own.

The browser pauses only requests that match (CDP ``Fetch.enable``), and they are refused here. Playwright's own request
interception would disable the HTTP cache, and ``Network.setBlockedURLs`` would send every network event twice. The list
cannot cover other tabs, nor host names that resolve to private addresses: the egress proxy
(``workers.browsers.egress_proxy``) refuses those.
"""

import contextlib
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from typing import Any

from playwright.async_api import Error, Page

from schemas.sites.recipe import Recipe

FONTS = ("woff", "woff2", "ttf", "otf", "eot")
# MP4 and WebM are missing: they may be results.
MEDIA = ("mp3", "ogg", "wav", "flac", "m4a", "m3u8", "avi", "mov", "mkv")
TRACKERS = (
    "*.google-analytics.com",
    "*.googletagmanager.com",
    "*.doubleclick.net",
    "*.googlesyndication.com",
    "connect.facebook.net",
    "*.hotjar.com",
    "*.segment.io",
    "*.segment.com",
    "*.mixpanel.com",
    "*.amplitude.com",
    "*.clarity.ms",
    "*.fullstory.com",
    "*.intercom.io",
    "*.sentry.io",
    "*.plausible.io",
    "*.posthog.com",
)
PRIVATE_NAMES = ("localhost", "*.localhost", "*.local", "*.internal", "*.lan", "*.home.arpa")
PRIVATE_V6 = ("[::*", "[f*")
PRIVATE_V4 = ("0", "10", "127", "169.254", *(f"172.{number}" for number in range(16, 32)), "192.168")
OCTETS = range(256)


async def block_requests(page: Page, recipe: Recipe) -> None:
    """Make the browser refuse the requests that the page of ``recipe`` may not make."""
    session = await page.context.new_cdp_session(page)

    async def refuse(event: dict[str, Any]) -> None:
        # The page may have closed.
        with contextlib.suppress(Error):
            await session.send("Fetch.failRequest", {"requestId": event["requestId"], "errorReason": "BlockedByClient"})

    session.on("Fetch.requestPaused", refuse)
    patterns = [{"urlPattern": pattern} for pattern in blocked_url_patterns(recipe)]
    await session.send("Fetch.enable", {"patterns": patterns})


def blocked_url_patterns(recipe: Recipe) -> list[str]:
    r"""Return the patterns of the blocked URLs, which match them as a whole.

    ``*`` matches any text and ``?`` any character; ``\?`` is a question mark.
    """
    allowed = recipe.own_hosts
    names = (*TRACKERS, *PRIVATE_NAMES)
    return [
        # File names at the end of a URL and before a query.
        *(f"*://*/*.{suffix}{end}" for suffix in FONTS + MEDIA for end in ("", r"\?*")),
        # Hosts with and without a port.
        *(f"*://{name}{end}" for name in names if not _matches_any(name, allowed) for end in (":*", "/*")),
        *(f"*://{prefix}" for prefix in PRIVATE_V6 if not _matches_any(prefix, {f"[{host}" for host in allowed})),
        *(pattern for network in PRIVATE_V4 for pattern in _patterns_except(network, allowed)),
    ]


def _matches_any(pattern: str, hosts: Collection[str]) -> bool:
    return any(fnmatchcase(host, pattern.replace("[", "[[]")) for host in hosts)


def _patterns_except(prefix: str, allowed: frozenset[str]) -> Iterator[str]:
    """Yield patterns for all IPv4 addresses below ``prefix`` except the allowed ones.

    The browser's list has no exceptions, so a network with an allowed address is split into its parts.
    """
    if prefix in allowed:
        return
    if prefix.count(".") == 3:
        yield from (f"*://{prefix}:*", f"*://{prefix}/*")
    elif not any(host.startswith(f"{prefix}.") for host in allowed):
        yield f"*://{prefix}.*"
    else:
        for octet in OCTETS:
            yield from _patterns_except(f"{prefix}.{octet}", allowed)
