"""Which pages a browser's request may come from, by the header fields that no page can forge. Pure."""

import re
from collections.abc import Iterable
from enum import StrEnum
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443}
ORIGIN = re.compile(r"https?://[^/?#@\\\s]+")
OWN_SITES = ("same-origin", "none")


class Sender(StrEnum):
    """Whose page made a request. ``unknown``: a program, or a browser that does not say."""

    OURS = "ours"
    ANOTHERS = "anothers"
    UNKNOWN = "unknown"


def sender_of(fetch_site: str | None, origin: str | None, ours: Iterable[str]) -> Sender:
    """Whose page it was: ``fetch_site`` is Sec-Fetch-Site, ``origin`` is Origin, None where there is none.

    The first decides where it is there, since the browser has compared for us; ``ours`` are addresses of this server.
    """
    if fetch_site is not None:
        return Sender.OURS if fetch_site in OWN_SITES else Sender.ANOTHERS
    if origin is None:
        return Sender.UNKNOWN
    known = {origin_of(url) for url in ours} - {None}
    return Sender.OURS if ORIGIN.fullmatch(origin) and origin_of(origin) in known else Sender.ANOTHERS


def origin_of(url: str) -> str | None:
    """Scheme, host and port of an address as browsers write them; None if it is no address of the web."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not host:
        return None
    usual = port is None or port == PORTS[parts.scheme]
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{'' if usual else f':{port}'}"
