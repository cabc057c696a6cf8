"""SSRF protection: which IP addresses outgoing requests may reach, and the operator's exceptions.

Every address has a rule with a zone. IPv6 addresses that embed IPv4 addresses (NAT64, 6to4, Teredo, ISATAP and others)
get the strictest zone of all of them. Only addresses are judged: names must be resolved first.

Sources: the IANA registries of special-purpose addresses (IPv4 and IPv6), RFC 6052, RFC 3056, RFC 4380, RFC 5214, and
the documentation of cloud metadata services.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from schemas.http.urls import bracket_host

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Zone(StrEnum):
    """How an address is treated.

    One setting opens all ``private`` addresses; a ``forbidden`` one must be named in EGRESS_ALLOW.
    """

    PUBLIC = "public"
    PRIVATE = "private"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class AddressRule:
    """The zone of an address range, with a description for people."""

    network: Network
    zone: Zone
    description: str

    def __str__(self) -> str:
        """Return the range and its description."""
        return f"{self.network} ({self.description})"


def _rules(zone: Zone, **ranges: str) -> Iterator[AddressRule]:
    for name, networks in ranges.items():
        for network in networks.split():
            yield AddressRule(ipaddress.ip_network(network), zone, name.replace("_", " "))


# The first match counts, so narrow ranges precede the wide ones that contain them.
RULES = (
    *_rules(
        Zone.FORBIDDEN,
        metadata_of_a_cloud="169.254.169.254/32 168.63.129.16/32 100.100.100.200/32 fd00:ec2::254/128",
        this_host="0.0.0.0/8 ::/128",
        loopback="127.0.0.0/8 ::1/128",
        link_local="169.254.0.0/16 fe80::/10",
        site_local="fec0::/10",
        protocol_assignments="192.0.0.0/24 2001:20::/28",
        documentation="192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
        relays_of_6to4="192.88.99.0/24",
        benchmarks="198.18.0.0/15 2001:2::/48",
        multicast="224.0.0.0/4 ff00::/8",
        reserved="240.0.0.0/4",
        discard="100::/64",
        segment_routing="5f00::/16",
    ),
    *_rules(
        Zone.PRIVATE,
        private_network="10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",
        shared_by_carriers="100.64.0.0/10",
        unique_local="fc00::/7",
    ),
)
DEFAULT_RULES = {
    4: AddressRule(ipaddress.ip_network("0.0.0.0/0"), Zone.PUBLIC, "the public internet"),
    6: AddressRule(ipaddress.ip_network("2000::/3"), Zone.PUBLIC, "the public internet"),
}
UNASSIGNED = AddressRule(ipaddress.ip_network("::/0"), Zone.FORBIDDEN, "not assigned")
STRICTNESS = {Zone.PUBLIC: 0, Zone.PRIVATE: 1, Zone.FORBIDDEN: 2}
LOW_32 = 0xFFFFFFFF
# Prefixes whose last 32 bits are an IPv4 address: IPv4-compatible, IPv4-mapped, IPv4-translated, NAT64.
EMBEDDED_IN_LAST_BITS = tuple(
    ipaddress.IPv6Network(prefix) for prefix in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
)
LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
# Positions of the four IPv4 bytes for each prefix length of RFC 6052; byte 8 is always zero.
RFC_6052_POSITIONS = ((6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12), (12, 13, 14, 15))
# Interface identifiers of ISATAP, for private and for global IPv4 addresses.
ISATAP = (0x00005EFE, 0x02005EFE)
UNSPECIFIED_AND_LOOPBACK = ipaddress.IPv6Network("::/127")


def classify(address: str) -> AddressRule:
    """Return the rule of an IP address: the strictest of its own and those of the IPv4 addresses that it embeds.

    Raises:
        ValueError: it is not an IP address.
    """
    parsed = _parse(address)
    return max((_own_rule(each) for each in (parsed, *_embedded_ipv4(parsed))), key=lambda rule: STRICTNESS[rule.zone])


def _parse(address: str) -> Address:
    """Parse an address, ignoring the zone of a link-local IPv6 address."""
    return ipaddress.ip_address(address.partition("%")[0])


def _own_rule(address: Address) -> AddressRule:
    for rule in RULES:
        if address in rule.network:
            return rule
    if address.version == 4 or address in DEFAULT_RULES[6].network or any(_embedded_ipv4(address)):
        return DEFAULT_RULES[address.version]
    return UNASSIGNED


def _embedded_ipv4(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """Yield the IPv4 addresses to which packets for an IPv6 address may be translated or tunnelled."""
    if not isinstance(address, ipaddress.IPv6Address) or address in UNSPECIFIED_AND_LOOPBACK:
        return
    bits, octets = int(address), address.packed
    if any(address in network for network in EMBEDDED_IN_LAST_BITS) or bits >> 32 & LOW_32 in ISATAP:
        yield ipaddress.IPv4Address(bits & LOW_32)
    if address in LOCAL_NAT64:
        yield from (ipaddress.IPv4Address(bytes(octets[i] for i in positions)) for positions in RFC_6052_POSITIONS)
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo


@dataclass(frozen=True, slots=True)
class AllowRule:
    """An exception by the operator: a network, or one port of it."""

    network: Network
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``10.0.0.0/8``, ``127.0.0.1:9000`` or ``[::1]:9000``; raise ValueError otherwise."""
        host, port = text, None
        if text.startswith("["):
            host, bracket, rest = text[1:].partition("]")
            if not bracket:
                raise ValueError("the bracket is not closed")
            port = rest.removeprefix(":") or None
        elif text.count(":") == 1:
            host, port = text.split(":")
        if port is not None and not 0 < int(port) < 65_536:
            raise ValueError(f"{port} is not a port")
        return cls(ipaddress.ip_network(host), None if port is None else int(port))

    def covers(self, address: Address, port: int) -> bool:
        """Return whether the exception applies to this port of an address."""
        return self.port in (None, port) and address in self.network


@dataclass(frozen=True, slots=True)
class AddressDecision:
    """Whether an address may be reached, the rule that decided, and the setting that would allow it."""

    rule: AddressRule
    is_allowed: bool
    allow_setting: str = ""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """The operator's exceptions to the public internet: named addresses, and all private ones.

    ``own_addresses`` are the addresses of this machine, which are forbidden even if public.
    """

    allow_rules: tuple[AllowRule, ...] = ()
    allow_private: bool = False
    own_addresses: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, allow_rules: Iterable[str], *, allow_private: bool, own_addresses: Iterable[str] = ()) -> Self:
        """Build the policy from the texts of EGRESS_ALLOW; raise ValueError with the first malformed one."""
        parsed = []
        for text in allow_rules:
            try:
                parsed.append(AllowRule.parse(text))
            except ValueError as error:
                raise ValueError(f"{text!r} is neither a network nor ADDRESS:PORT: {error}.") from error
        return cls(tuple(parsed), allow_private, frozenset(own_addresses))

    def evaluate(self, address: str, port: int) -> AddressDecision:
        """Decide on one port of an IP address; raise ValueError if it is not an IP address."""
        parsed, rule = _parse(address), classify(address)
        if str(parsed) in self.own_addresses and rule.zone is not Zone.FORBIDDEN:
            rule = AddressRule(ipaddress.ip_network(parsed), Zone.FORBIDDEN, "this machine")
        is_named = any(allow_rule.covers(parsed, port) for allow_rule in self.allow_rules)
        if is_named or rule.zone is Zone.PUBLIC or (rule.zone is Zone.PRIVATE and self.allow_private):
            return AddressDecision(rule, is_allowed=True)
        setting = f"EGRESS_ALLOW={bracket_host(str(parsed))}:{port}"
        if rule.zone is Zone.PRIVATE:
            setting = f"EGRESS_ALLOW_PRIVATE=1 or {setting}"
        return AddressDecision(rule, is_allowed=False, allow_setting=setting)


@dataclass(frozen=True, slots=True)
class ResolvedHost:
    """The addresses of a host with the decision on each, in the resolver's order."""

    decisions: tuple[tuple[str, AddressDecision], ...]

    @property
    def allowed_addresses(self) -> list[str]:
        """The addresses that may be reached."""
        return [address for address, decision in self.decisions if decision.is_allowed]

    @property
    def is_opened_by_operator(self) -> bool:
        """Whether all allowed addresses are exceptions by the operator, none of them public."""
        zones = {decision.rule.zone for _, decision in self.decisions if decision.is_allowed}
        return bool(zones) and Zone.PUBLIC not in zones


def evaluate_addresses(addresses: Iterable[str], port: int, policy: AddressPolicy) -> ResolvedHost:
    """Decide on each address of a host."""
    return ResolvedHost(tuple((address, policy.evaluate(address, port)) for address in addresses))
