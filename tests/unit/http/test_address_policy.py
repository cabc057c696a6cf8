"""Zones of IP addresses, also of IPv4 addresses embedded in IPv6, and the operator's exceptions."""

import ipaddress
import socket

import pytest

from schemas.http.address_policy import RULES, AddressPolicy, AddressRule, AllowRule, Zone, classify

LOOPBACK = "127.0.0.1"
EMBEDDED_FORMS = {
    "mapped": "::ffff:{v4}",
    "compatible": "::{v4}",
    "translated": "::ffff:0:{v4}",
    "nat64": "64:ff9b::{v4}",
    "isatap": "2001:470::5efe:{v4}",
    "isatap, global": "2001:470::200:5efe:{v4}",
}
IPV4_ZONES = [
    ("127.0.0.1", Zone.FORBIDDEN),
    ("10.1.2.3", Zone.PRIVATE),
    ("169.254.169.254", Zone.FORBIDDEN),
    ("192.168.0.1", Zone.PRIVATE),
    ("100.64.0.1", Zone.PRIVATE),
    ("224.0.0.1", Zone.FORBIDDEN),
    ("8.8.8.8", Zone.PUBLIC),
]
# Spellings of loopback addresses that resolvers accept.
LOOPBACK_SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.000.000.001",
    "0x7f.0x0.0x0.0x1",
    "127.255.255.254",
    "localhost",
    "0",
    "0.0.0.0",  # noqa: S104 - nothing listens
]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("index", [0, -1])
def test_a_rule_applies_to_its_first_and_last_address(rule: AddressRule, index: int) -> None:
    """A narrower rule may be stricter."""
    assert classify(str(rule.network[index])).zone in (rule.zone, Zone.FORBIDDEN)


ADJACENT = """
9.255.255.255 11.0.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 100.63.255.255 100.128.0.0
126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0 198.17.255.255 198.20.0.0 223.255.255.255 168.63.129.15
1.1.1.1 2606:4700:4700::1111 2001:4860:4860::8888 2a00::1
"""


@pytest.mark.parametrize("address", ADJACENT.split())
def test_addresses_adjacent_to_a_range_are_public(address: str) -> None:
    """No rule is wider than its range."""
    assert classify(address).zone is Zone.PUBLIC


@pytest.mark.parametrize("form", EMBEDDED_FORMS.values(), ids=EMBEDDED_FORMS)
@pytest.mark.parametrize(("v4", "zone"), IPV4_ZONES)
def test_an_embedded_ipv4_address_is_judged(form: str, v4: str, zone: Zone) -> None:
    """The zone is that of the address to which packets are translated."""
    assert classify(form.format(v4=v4)).zone is zone


@pytest.mark.parametrize(("v4", "zone"), IPV4_ZONES)
def test_6to4_and_teredo_embed_ipv4_addresses(v4: str, zone: Zone) -> None:
    """Teredo embeds the server as it is and the client inverted."""
    high, low = f"{int(ipaddress.IPv4Address(v4)):08x}"[:4], f"{int(ipaddress.IPv4Address(v4)):08x}"[4:]
    inverted = int(ipaddress.IPv4Address(v4)) ^ 0xFFFFFFFF

    assert classify(f"2002:{high}:{low}::1").zone is zone
    assert classify(f"2001:0:808:808::{inverted >> 16:x}:{inverted & 0xFFFF:x}").zone is zone
    assert classify(f"2001:0:{high}:{low}::{0xF7F7:x}:{0xF7F7:x}").zone is zone


@pytest.mark.parametrize(
    "address",
    ["64:ff9b:1:7f00:0:100::", "64:ff9b:1:7f:0:1::", "64:ff9b:1::7f:0:100:0", "64:ff9b:1::7f00:1"],
)
def test_local_nat64_is_judged_for_every_prefix_length(address: str) -> None:
    """RFC 6052 places the IPv4 bytes differently for each length."""
    assert classify(address).zone is Zone.FORBIDDEN


@pytest.mark.parametrize("spelling", LOOPBACK_SPELLINGS)
def test_no_spelling_of_loopback_is_allowed(spelling: str) -> None:
    """The addresses that the resolver returns are judged; the policy does not interpret spellings."""
    addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(spelling, 80, type=socket.SOCK_STREAM)}

    assert addresses
    assert {Zone.FORBIDDEN} == {classify(address).zone for address in addresses}
    with pytest.raises(ValueError, match="address"):
        classify(f"{spelling}.")


@pytest.mark.parametrize(
    ("allow_rules", "allow_private", "address", "port", "is_allowed", "allow_setting"),
    [
        ((), False, "8.8.8.8", 443, True, ""),
        ((), False, "10.0.0.1", 443, False, "EGRESS_ALLOW_PRIVATE=1 or EGRESS_ALLOW=10.0.0.1:443"),
        ((), True, "10.0.0.1", 443, True, ""),
        ((), True, LOOPBACK, 9000, False, "EGRESS_ALLOW=127.0.0.1:9000"),
        (("127.0.0.1:9000",), False, LOOPBACK, 9000, True, ""),
        (("127.0.0.1:9000",), False, LOOPBACK, 9001, False, "EGRESS_ALLOW=127.0.0.1:9001"),
        (("10.0.0.0/8",), False, "10.9.9.9", 1, True, ""),
        (("[::1]:80",), False, "::1", 80, True, ""),
        (("[::1]:80",), False, "::1", 81, False, "EGRESS_ALLOW=[::1]:81"),
        (("::1",), False, "::1", 81, True, ""),
        (("10.0.0.0/8",), True, "169.254.169.254", 80, False, "EGRESS_ALLOW=169.254.169.254:80"),
    ],
)
def test_the_operator_can_allow_addresses(  # noqa: PLR0917 - a row of the table
    allow_rules: tuple[str, ...], allow_private: bool, address: str, port: int, is_allowed: bool, allow_setting: str
) -> None:
    """One setting allows private addresses, forbidden ones must be named; a refusal names the setting."""
    decision = AddressPolicy(tuple(map(AllowRule.parse, allow_rules)), allow_private).evaluate(address, port)

    assert (is_allowed, allow_setting) == (decision.is_allowed, decision.allow_setting)


@pytest.mark.parametrize(
    "text", ["", "example.com", "10.0.0.1/8", "127.0.0.1:0", "127.0.0.1:x", "[::1", "1.2.3.4:99999"]
)
def test_a_malformed_exception_is_rejected(text: str) -> None:
    """Host names are not accepted, since they may resolve to other addresses later."""
    with pytest.raises(ValueError, match=r"."):
        AllowRule.parse(text)
