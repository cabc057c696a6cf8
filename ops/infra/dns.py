"""IP addresses: those of a host name, by the system's resolver, and those of this machine."""

import socket

import psutil


def resolve(host: str, port: int) -> list[str]:
    """Return every IP address of a host without duplicates; raises OSError if there is none."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


def local_addresses() -> list[str]:
    """Return the IP addresses of this machine's network interfaces, without IPv6 zone ids."""
    return [
        address.address.partition("%")[0]
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family in (socket.AF_INET, socket.AF_INET6)
    ]
