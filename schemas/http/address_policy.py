"""Which addresses Darkroom may send to: a class for every IP address, and the operator's exceptions. Pure.

Sources: the registries of IANA for
special addresses (IPv4, IPv6), RFC 6052, RFC 3056, RFC 4380, RFC 5214, and what clouds document of their metadata.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Zone(StrEnum):
    """How an address is treated.

    ``private`` ones open by one switch of the operator; ``forbidden`` ones only by being named.
    """

    PUBLIC = "public"
    PRIVATE = "private"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class AddressRule:
    """A range of addresses and what it is."""

    network: Network
    zone: Zone
    description: str

    def __str__(self) -> str:
        """In one line."""
        return f"{self.network} ({self.description})"


def _rules(zone: Zone, **ranges: str) -> Iterator[AddressRule]:
    for words, networks in ranges.items():
        for network in networks.split():
            yield AddressRule(ipaddress.ip_network(network), zone, words.replace("_", " "))


# The narrow before the wide: the first that fits is told.
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
# Prefixes whose last 32 bits are an IPv4 address: compatible, mapped, translated, NAT64.
IN_LAST_BITS = tuple(
    ipaddress.IPv6Network(one) for one in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
)
LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
# Where RFC 6052 puts the four bytes, by the length of the prefix; the ninth byte is always zero.
RFC_6052 = ((6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12), (12, 13, 14, 15))
SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
TEREDO = ipaddress.IPv6Network("2001::/32")
ISATAP = (0x00005EFE, 0x02005EFE)


def classify(address: str) -> AddressRule:
    """The rule for an IP address, the strictest of its own and those of the IPv4 addresses that it carries.

    Raises:
        ValueError: it is no IP address. Names must be resolved first, and never guessed from their spelling.
    """
    known = ipaddress.ip_address(address.partition("%")[0])
    return max((_rule_of(one) for one in (known, *_carried(known))), key=lambda rule: STRICTNESS[rule.zone])


def _rule_of(address: Address) -> AddressRule:
    for rule in RULES:
        if address in rule.network:
            return rule
    if address.version == 4 or address in DEFAULT_RULES[6].network or any(_carried(address)):
        return DEFAULT_RULES[address.version]
    return UNASSIGNED


def _carried(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses to which an IPv6 address leads."""
    if not isinstance(address, ipaddress.IPv6Address) or address in ipaddress.ip_network("::/127"):
        return
    bits, octets = int(address), address.packed
    if any(address in network for network in IN_LAST_BITS) or bits >> 32 & LOW_32 in ISATAP:
        yield ipaddress.IPv4Address(bits & LOW_32)
    if address in LOCAL_NAT64:
        yield from (ipaddress.IPv4Address(bytes(octets[place] for place in places)) for places in RFC_6052)
    if address in SIX_TO_FOUR:
        yield ipaddress.IPv4Address(octets[2:6])
    if address in TEREDO:
        yield ipaddress.IPv4Address(octets[4:8])
        yield ipaddress.IPv4Address(~bits & LOW_32)


@dataclass(frozen=True, slots=True)
class AllowRule:
    """An exception of the operator's: a network, or one port of it."""

    network: Network
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "AllowRule":
        """``10.0.0.0/8``, ``127.0.0.1:9000`` or ``[::1]:9000``; raises ValueError if it is none of these."""
        host, port = text, None
        if text.startswith("["):
            host, bracket, rest = text[1:].partition("]")
            if not bracket:
                raise ValueError("a bracket is open")
            port = rest.removeprefix(":") or None
        elif text.count(":") == 1:
            host, port = text.split(":")
        if port is not None and not 0 < int(port) < 65_536:
            raise ValueError(f"{port} is no port")
        return cls(ipaddress.ip_network(host), None if port is None else int(port))

    def covers(self, address: str, port: int) -> bool:
        """Whether this opens ``port`` of an address."""
        return self.port in (None, port) and ipaddress.ip_address(address.partition("%")[0]) in self.network


@dataclass(frozen=True, slots=True)
class AddressDecision:
    """Whether an address may be reached, by which rule, and which setting would change that."""

    rule: AddressRule
    is_allowed: bool
    allow_setting: str = ""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What the operator allows besides the public internet: named addresses, and private ones altogether.

    ``own`` are the addresses of this machine, which are forbidden however public they are.
    """

    allow_rules: tuple[AllowRule, ...] = ()
    allow_private: bool = False
    own_addresses: frozenset[str] = frozenset()

    @classmethod
    def parse(
        cls, allow_rules: Iterable[str], *, allow_private: bool, own_addresses: Iterable[str] = ()
    ) -> "AddressPolicy":
        """The policy that the operator's words mean; raises ValueError with the word that means nothing."""
        read = []
        for text in allow_rules:
            try:
                read.append(AllowRule.parse(text))
            except ValueError as error:
                raise ValueError(f"{text!r} is neither a network nor ADDRESS:PORT: {error}.") from error
        return cls(tuple(read), allow_private, frozenset(own_addresses))

    def _rule_of(self, address: str) -> AddressRule:
        rule = classify(address)
        known = ipaddress.ip_address(address.partition("%")[0])
        if str(known) in self.own_addresses and rule.zone is not Zone.FORBIDDEN:
            return AddressRule(ipaddress.ip_network(known), Zone.FORBIDDEN, "this machine")
        return rule

    def evaluate(self, address: str, port: int) -> AddressDecision:
        """The verdict on one port of an IP address; raises ValueError as ``classify`` does."""
        rule = self._rule_of(address)
        named = any(opening.covers(address, port) for opening in self.allow_rules)
        if named or rule.zone is Zone.PUBLIC or (rule.zone is Zone.PRIVATE and self.allow_private):
            return AddressDecision(rule, is_allowed=True)
        known = ipaddress.ip_address(address.partition("%")[0])
        naming = f"EGRESS_ALLOW={f'[{known}]' if known.version == 6 else known}:{port}"
        ways = f"EGRESS_ALLOW_PRIVATE=1 or {naming}" if rule.zone is Zone.PRIVATE else naming
        return AddressDecision(rule, is_allowed=False, allow_setting=ways)


@dataclass(frozen=True, slots=True)
class ResolvedHost:
    """What a host led to: each address with its verdict, in the resolver's order."""

    decisions: tuple[tuple[str, AddressDecision], ...]

    @property
    def allowed_addresses(self) -> list[str]:
        """The addresses that may be reached."""
        return [address for address, verdict in self.decisions if verdict.is_allowed]

    @property
    def is_opened_by_operator(self) -> bool:
        """Whether every address that may be reached is one that the operator has opened, and not a public one."""
        zones = {verdict.rule.zone for _, verdict in self.decisions if verdict.is_allowed}
        return bool(zones) and Zone.PUBLIC not in zones


def evaluate_addresses(addresses: Iterable[str], port: int, policy: AddressPolicy) -> ResolvedHost:
    """The verdict on each of a host's addresses."""
    return ResolvedHost(tuple((address, policy.evaluate(address, port)) for address in addresses))
