"""The asking for addresses: a host's, by the resolver, and this machine's own."""

import socket

import psutil


def resolve(host: str, port: int) -> list[str]:
    """Every IP address of a host, once; raises OSError if there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def local_addresses() -> list[str]:
    """The IP addresses of this machine's network interfaces."""
    families = (socket.AF_INET, socket.AF_INET6)
    known = [one for interface in psutil.net_if_addrs().values() for one in interface if one.family in families]
    return [one.address.partition("%")[0] for one in known]
