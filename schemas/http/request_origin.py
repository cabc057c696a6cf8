"""Which pages a browser's request may come from, by the header fields that no page can forge. Pure."""

import re
from collections.abc import Iterable
from enum import StrEnum
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
ORIGIN_PATTERN = re.compile(r"https?://[^/?#@\\\s]+")
SAME_ORIGIN_VALUES = ("same-origin", "none")


class RequestOrigin(StrEnum):
    """Whose page made a request. ``unknown``: a program, or a browser that does not say."""

    SAME_ORIGIN = "ours"
    CROSS_ORIGIN = "anothers"
    UNKNOWN = "unknown"


def classify_origin(fetch_site: str | None, origin: str | None, own_urls: Iterable[str]) -> RequestOrigin:
    """Whose page it was: ``fetch_site`` is Sec-Fetch-Site, ``origin`` is Origin, None where there is none.

    The first decides where it is there, since the browser has compared for us; ``ours`` are addresses of this server.
    """
    if fetch_site is not None:
        return RequestOrigin.SAME_ORIGIN if fetch_site in SAME_ORIGIN_VALUES else RequestOrigin.CROSS_ORIGIN
    if origin is None:
        return RequestOrigin.UNKNOWN
    known = {url_origin(url) for url in own_urls} - {None}
    return (
        RequestOrigin.SAME_ORIGIN
        if ORIGIN_PATTERN.fullmatch(origin) and url_origin(origin) in known
        else RequestOrigin.CROSS_ORIGIN
    )


def url_origin(url: str) -> str | None:
    """Scheme, host and port of an address as browsers write them; None if it is no address of the web."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not host:
        return None
    usual = port is None or port == DEFAULT_PORTS[parts.scheme]
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{'' if usual else f':{port}'}"
