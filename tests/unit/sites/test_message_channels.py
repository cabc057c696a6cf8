"""Messages that a page receives by long polling and WebSockets."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Error

from workers.sites.observer import message_channels
from workers.sites.observer.message_channels import Message, MessageChannels, is_poll, read_packet

POLL = "http://site/socket.io/?EIO=4&transport=polling&sid=x"
ENGINE_SOCKET = "ws://site/socket.io/?EIO=4&transport=websocket&sid=x"
OTHER_SOCKET = "ws://site/chat"


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


class FakeEmitter:
    """What Playwright reports of a page or of one of its WebSockets."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self._handlers: dict[str, Callable[[Any], None]] = {}

    def on(self, event: str, handler: Callable[[Any], None]) -> None:
        """Call ``handler`` with each event."""
        self._handlers[event] = handler

    def emit(self, event: str, value: Any) -> None:
        """Report an event."""
        self._handlers[event](value)


class FakePoll:
    """A poll whose body can be read once ``body`` is known; None stands for a refused one."""

    def __init__(self, url: str = POLL) -> None:
        self.method, self.url, self.ok = "GET", url, True
        self.arrived: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    async def response(self) -> "FakePoll":
        """Return the response."""
        self.ok = await self.arrived is not None
        return self

    async def sizes(self) -> dict[str, int]:
        """Return the size of the body."""
        return {"responseBodySize": len(self.arrived.result() or b"")}

    async def body(self) -> bytes:
        """Return the body."""
        body = self.arrived.result()
        if body is None:
            raise Error("no body")
        return body


class Channels:
    """The channels of a page, what they have received, and how often the last connection was lost."""

    def __init__(self) -> None:
        self.page = FakeEmitter()
        self.received: list[Message] = []
        self.losses = 0
        self.channels = MessageChannels(self.received.append, self._count_loss)
        self.channels.listen(self.page)  # type: ignore[arg-type] # a fake

    def _count_loss(self) -> None:
        self.losses += 1

    def open_socket(self, url: str) -> FakeEmitter:
        """Open a WebSocket."""
        socket = FakeEmitter(url)
        self.page.emit("websocket", socket)
        return socket

    async def answer_poll(self, body: str | None) -> None:
        """Answer a poll, and wait until its body has been read."""
        poll = FakePoll()
        self.page.emit("requestfinished", poll)
        await self.arrive(poll, body)

    async def arrive(self, poll: FakePoll, body: str | None) -> None:
        """Let the body of an answered poll arrive."""
        poll.arrived.set_result(None if body is None else body.encode())
        await asyncio.gather(*self.channels._reading)


def with_channels(work: Callable[[Channels], Awaitable[None]]) -> None:
    """Run ``work`` with the channels of a page."""

    async def run() -> None:
        await work(Channels())

    asyncio.run(run())


def test_messages_wait_for_the_bodies_of_earlier_polls() -> None:
    """Those of a WebSocket too, and those of a later poll whose body is there first."""

    async def work(page: Channels) -> None:
        socket, first, second = page.open_socket(ENGINE_SOCKET), FakePoll(), FakePoll()
        page.page.emit("requestfinished", first)
        socket.emit("framereceived", "3probe")
        socket.emit("framereceived", "from the socket")
        page.page.emit("requestfinished", second)
        await asyncio.sleep(0)
        second.arrived.set_result(b"last")
        await asyncio.sleep(0)
        assert page.received == []
        await page.arrive(first, "one\x1ebAQI=\x1ethree")
        assert page.received == ["one", b"\x01\x02", "three", "from the socket", "last"]

    with_channels(work)


def test_a_page_that_polls_is_connected() -> None:
    """Until a poll fails, is refused, or is answered with the end of the session; other connections do not matter."""

    async def work(page: Channels) -> None:
        for end in ("failed", None, "42[]\x1e1"):
            await page.answer_poll("0{}")
            assert page.channels.is_connected
            other = page.open_socket(OTHER_SOCKET)
            other.emit("framereceived", "a chat")
            other.emit("close", other)
            assert (page.channels.is_connected, page.losses) == (True, 0)
            if end == "failed":
                page.page.emit("requestfailed", FakePoll())
            else:
                await page.answer_poll(end)
            assert (page.channels.is_connected, page.losses) == (False, 1)
            page.losses = 0

    with_channels(work)


def test_a_page_that_moves_to_a_websocket_is_connected_by_it() -> None:
    """The last poll ends without a loss; the close of the socket is one, and so it is if that poll is read late."""

    async def work(page: Channels) -> None:
        for is_late in (False, True):
            await page.answer_poll("0{}")
            socket, last = page.open_socket(ENGINE_SOCKET), FakePoll()
            page.page.emit("requestfinished", last)
            if not is_late:
                await page.arrive(last, "6")
            socket.emit("framereceived", "42[]")
            if is_late:
                await page.arrive(last, "40")
            assert (page.channels.is_connected, page.losses) == (True, 0)
            socket.emit("close", socket)
            assert (page.channels.is_connected, page.losses) == (False, 1)
            page.losses = 0

    with_channels(work)


def test_a_poll_of_a_page_that_was_not_connected_is_no_loss() -> None:
    """Such as the refused poll of something that the page embeds."""

    async def work(page: Channels) -> None:
        page.page.emit("requestfailed", FakePoll())
        await page.answer_poll(None)
        assert page.losses == 0

    with_channels(work)


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by size; what is too large is dropped before it waits."""
    monkeypatch.setattr(message_channels, "MAX_MESSAGE_BYTES", 10)
    monkeypatch.setattr(message_channels, "MAX_WAITING_BYTES", 15)
    monkeypatch.setattr(message_channels, "MAX_WAITING", 4)

    async def work(page: Channels) -> None:
        socket, poll = page.open_socket(OTHER_SOCKET), FakePoll()
        socket.emit("framereceived", 11 * "x")
        page.page.emit("requestfinished", poll)
        for text in (8 * "a", 8 * "b", "c", "d", "e"):
            socket.emit("framereceived", text)
        page.page.emit("requestfinished", FakePoll())
        await page.arrive(poll, "first")
        assert page.received == ["first", 8 * "a", "c", "d"]
        socket.emit("framereceived", 10 * "f")
        assert page.received[-1] == 10 * "f"

    with_channels(work)
