"""CSRF protection: whether a request comes from a page of this server, by headers that no page can forge.

Browsers send cookies with cross-site requests, so a cookie does not prove intent.
"""

import re
from collections.abc import Iterable
from enum import StrEnum

from schemas.http.urls import url_origin

ORIGIN_PATTERN = re.compile(r"https?://[^/?#@\\\s]+")
# Values of Sec-Fetch-Site for pages of this origin, and for addresses that the user typed or bookmarked.
SAME_ORIGIN_VALUES = ("same-origin", "none")


class RequestOrigin(StrEnum):
    """Where a request comes from. ``unknown``: a program, or a browser that sends neither header."""

    SAME_ORIGIN = "same_origin"
    CROSS_ORIGIN = "cross_origin"
    UNKNOWN = "unknown"


def classify_origin(fetch_site: str | None, origin: str | None, own_urls: Iterable[str]) -> RequestOrigin:
    """Classify a request by its headers Sec-Fetch-Site and Origin, each None if absent.

    Sec-Fetch-Site takes precedence: the browser has compared the origins already. ``own_urls`` are the URLs under which
    this server is reached.
    """
    if fetch_site is not None:
        return RequestOrigin.SAME_ORIGIN if fetch_site in SAME_ORIGIN_VALUES else RequestOrigin.CROSS_ORIGIN
    if origin is None:
        return RequestOrigin.UNKNOWN
    own_origins = {url_origin(url) for url in own_urls} - {None}
    is_own = ORIGIN_PATTERN.fullmatch(origin) and url_origin(origin) in own_origins
    return RequestOrigin.SAME_ORIGIN if is_own else RequestOrigin.CROSS_ORIGIN
