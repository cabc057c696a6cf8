"""Owns the asking of the resolver for a host's addresses.

Used by whatever calls addresses that callers name, and by tests in place of a resolver.
"""

import socket
from collections.abc import Callable

Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """Every IP address of a host, once; raises OSError if there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(one[4][0]) for one in found))
