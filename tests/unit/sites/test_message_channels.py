"""Messages that a page receives by long polling."""

import pytest

from workers.sites.observer.message_channels import is_poll, read_packet


@pytest.mark.parametrize(
    ("method", "url", "expected"),
    [
        ("GET", "http://site/ws/socket.io/?EIO=4&transport=polling&t=abc&sid=x", True),
        ("GET", "http://site/socket.io/?transport=polling&EIO=4", True),
        ("POST", "http://site/socket.io/?EIO=4&transport=polling&sid=x", False),
        ("GET", "ws://site/socket.io/?EIO=4&transport=websocket", False),
        ("GET", "http://site/?transport=polling", False),
        ("GET", "http://site/?q=EIO=4&note=transport=polling", False),
        ("GET", "http://[site/?EIO=4&transport=polling", False),
    ],
)
def test_polls_are_recognized_by_their_url(method: str, url: str, expected: bool) -> None:
    """What a page sends by the same connection is no poll."""
    assert is_poll(method, url) is expected


@pytest.mark.parametrize(
    ("packet", "message"),
    [('42["done"]', '42["done"]'), ("2", "2"), ("", ""), ("bAQIDBA==", b"\x01\x02\x03\x04"), ("b???", None)],
)
def test_a_packet_is_read_as_a_websocket_would_carry_it(packet: str, message: str | bytes | None) -> None:
    """Binary packets are base64 in a poll; one that is not is dropped."""
    assert read_packet(packet) == message
