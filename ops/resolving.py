"""Owns the asking of the resolver for a host's addresses.

Used by ``workers.gate`` and by ``./darkroom webhooks check``.
"""

import socket


def resolve(host: str, port: int) -> list[str]:
    """Every IP address of a host, once; raises OSError if there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(one[4][0]) for one in found))
