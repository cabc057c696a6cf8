"""Which addresses are the public internet, whatever they are wrapped in; the operator's exceptions."""

import ipaddress
import socket

import pytest

from schemas.http.address_policy import RULES, AddressPolicy, AllowRule, Zone, classify

LOOPBACK = "127.0.0.1"
WRAPPED = {
    "mapped": "::ffff:{v4}",
    "compatible": "::{v4}",
    "translated": "::ffff:0:{v4}",
    "nat64": "64:ff9b::{v4}",
    "isatap": "2001:470::5efe:{v4}",
    "isatap, global": "2001:470::200:5efe:{v4}",
}
INSIDE = [
    ("127.0.0.1", Zone.FORBIDDEN),
    ("10.1.2.3", Zone.PRIVATE),
    ("169.254.169.254", Zone.FORBIDDEN),
    ("192.168.0.1", Zone.PRIVATE),
    ("100.64.0.1", Zone.PRIVATE),
    ("224.0.0.1", Zone.FORBIDDEN),
    ("8.8.8.8", Zone.PUBLIC),
]
# Every way to write this machine's own address that a resolver takes.
SPELLINGS = [
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
@pytest.mark.parametrize("place", [0, -1])
def test_each_range_is_what_it_is_from_its_first_address_to_its_last(rule: object, place: int) -> None:
    """No edge is left open; a narrower rule may be stricter."""
    known = next(one for one in RULES if one is rule)

    assert classify(str(known.network[place])).zone in (known.zone, Zone.FORBIDDEN)


BESIDE = """
9.255.255.255 11.0.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 100.63.255.255 100.128.0.0
126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0 198.17.255.255 198.20.0.0 223.255.255.255 168.63.129.15
1.1.1.1 2606:4700:4700::1111 2001:4860:4860::8888 2a00::1
"""


@pytest.mark.parametrize("address", BESIDE.split())
def test_what_lies_beside_is_public(address: str) -> None:
    """So that no rule is wider than it says."""
    assert classify(address).zone is Zone.PUBLIC


@pytest.mark.parametrize("form", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize(("v4", "zone"), INSIDE)
def test_an_address_inside_another_is_looked_at(form: str, v4: str, zone: Zone) -> None:
    """By what it leads to, and not by the wrapping."""
    assert classify(form.format(v4=v4)).zone is zone


@pytest.mark.parametrize(("v4", "zone"), INSIDE)
def test_6to4_and_teredo_lead_to_an_address_too(v4: str, zone: Zone) -> None:
    """The one in its head, or, turned over, in its tail."""
    high, low = f"{int(ipaddress.IPv4Address(v4)):08x}"[:4], f"{int(ipaddress.IPv4Address(v4)):08x}"[4:]
    turned = int(ipaddress.IPv4Address(v4)) ^ 0xFFFFFFFF

    assert classify(f"2002:{high}:{low}::1").zone is zone
    assert classify(f"2001:0:808:808::{turned >> 16:x}:{turned & 0xFFFF:x}").zone is zone
    assert classify(f"2001:0:{high}:{low}::{0xF7F7:x}:{0xF7F7:x}").zone is zone


@pytest.mark.parametrize(
    "address",
    ["64:ff9b:1:7f00:0:100::", "64:ff9b:1:7f:0:1::", "64:ff9b:1::7f:0:100:0", "64:ff9b:1::7f00:1"],
)
def test_local_translation_is_read_at_every_length(address: str) -> None:
    """RFC 6052 puts the bytes elsewhere for each."""
    assert classify(address).zone is Zone.FORBIDDEN


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_this_machine_gets_through(spelling: str) -> None:
    """A spelling is never guessed at: what the resolver makes of it is looked at."""
    addresses = {str(one[4][0]) for one in socket.getaddrinfo(spelling, 80, type=socket.SOCK_STREAM)}

    assert addresses
    assert {Zone.FORBIDDEN} == {classify(address).zone for address in addresses}
    with pytest.raises(ValueError, match="address"):
        classify(f"{spelling}.")


@pytest.mark.parametrize(
    ("openings", "private", "address", "port", "allowed", "opens_with"),
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
def test_the_operator_opens_what_they_name(  # noqa: PLR0917 - a row of the table
    openings: tuple[str, ...], private: bool, address: str, port: int, allowed: bool, opens_with: str
) -> None:
    """Private ones by a switch, forbidden ones only by name; a refusal says which setting would do."""
    verdict = AddressPolicy(tuple(map(AllowRule.parse, openings)), private).evaluate(address, port)

    assert (allowed, opens_with) == (verdict.is_allowed, verdict.allow_setting)


@pytest.mark.parametrize(
    "text", ["", "example.com", "10.0.0.1/8", "127.0.0.1:0", "127.0.0.1:x", "[::1", "1.2.3.4:99999"]
)
def test_an_exception_that_is_none_is_refused(text: str) -> None:
    """Names cannot be opened: they may lead anywhere tomorrow."""
    with pytest.raises(ValueError, match=r"."):
        AllowRule.parse(text)
