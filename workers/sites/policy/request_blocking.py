"""Blocks media, fonts, trackers and private addresses other than the site's own.

The browser does the blocking (CDP ``Network.setBlockedURLs``), because Playwright's request interception disables the
HTTP cache. The list cannot cover other tabs, nor host names that resolve to private addresses: the egress proxy
(``workers.browsers.egress_proxy``) refuses those.
"""

from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase

from playwright.async_api import Page

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
    await session.send("Network.enable")
    by_file_name = [{"urlPattern": f"*://*:*/*.{suffix}", "block": True} for suffix in FONTS + MEDIA]
    patterns = {"urls": blocked_url_patterns(recipe), "urlPatterns": by_file_name}
    await session.send("Network.setBlockedURLs", patterns)


def blocked_url_patterns(recipe: Recipe) -> list[str]:
    """Return the patterns of the blocked hosts; ``*`` matches any text.

    The browser does not anchor these at their end: ``*.avi`` would match pictures at ``….avif`` and hosts at
    ``.aviary``. Names of files therefore have patterns of the other kind (URLPattern), which ignore the query as well.
    """
    allowed = recipe.own_hosts
    names = (*TRACKERS, *PRIVATE_NAMES)
    return [
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
