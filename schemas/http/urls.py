"""Origins of URLs, and hosts as URLs write them."""

from yarl import URL

DEFAULT_PORTS = {"http": 80, "https": 443}


def url_origin(url: str) -> str | None:
    """Return scheme, host and non-default port as browsers write them; None if it is not an HTTP URL."""
    try:
        origin = URL(url).origin()
    except ValueError:
        return None
    return str(origin) if origin.scheme in DEFAULT_PORTS else None


def host_and_port(url: str) -> tuple[str, int]:
    """Return the host of an HTTP URL, with brackets around an IPv6 address, and its port."""
    parsed = URL(url)
    return parsed.host_subcomponent or "", parsed.port or DEFAULT_PORTS["http"]


def bracket_host(host: str) -> str:
    """Return a host as URLs write it: with brackets around an IPv6 address."""
    return f"[{host}]" if ":" in host else host
