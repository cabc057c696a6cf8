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


def host_and_port(url: str) -> str:
    """Return ``host:port`` of an HTTP URL, with the default port if it names none."""
    parsed = URL(url)
    return f"{parsed.host_subcomponent}:{parsed.port}"


def bracket_host(host: str) -> str:
    """Return a host as URLs write it: with brackets around an IPv6 address."""
    return f"[{host}]" if ":" in host else host
