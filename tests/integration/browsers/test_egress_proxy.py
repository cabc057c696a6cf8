"""The way out of a worker's browsers: to a site's own hosts and to the public, whatever a page tries."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import BrowserContext, Error

from ops.infra.settings import Settings
from schemas.sites.recipe import ConsentSpec, Recipe
from tests.conftest import TIMEOUT_S
from tests.support.fake_site import fake_site_recipe, serve_fake_site
from workers.browsers.egress_proxy import EgressProxy, is_public
from workers.sites.cli.browser_session import DisplayOptions, open_browser_context
from workers.sites.driver.browser_fetch import fetch_url

PRIVATE = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "::1", "fe80::1%eth0", "fd00::1"]
HIDDEN = ["::ffff:127.0.0.1", "2002:7f00:1::", "0.0.0.0", "224.0.0.1", "ff02::1", "::"]  # noqa: S104 - nothing listens

# Not allowed, or not known to this machine's resolver.
REFUSALS = (b"\x05\x02", b"\x05\x04")


@pytest.mark.parametrize("address", PRIVATE + HIDDEN)
def test_what_is_not_the_public_internet_is_told(address: str) -> None:
    """Whatever it is wrapped in."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111"])
def test_the_public_internet_is_told(address: str) -> None:
    """So that the other test can fail."""
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "ownership", "direct"),
    [
        ("http://127.0.0.1:7860/", "own", ("127.0.0.1:7860", "gpu")),
        ("https://art.example/", "own", ("art.example:443", "gpu")),
        ("https://art.example/", "terms", ("gpu",)),
        ("http://127.0.0.1/", "terms", ("127.0.0.1:80", "gpu")),
        ("http://[fd00::1]:81/", "terms", ("[fd00::1]:81", "gpu")),
        ("http://gpu:7860/", "terms", ("gpu:7860", "gpu")),
    ],
)
def test_only_names_that_stay_what_they_are_go_past_the_gate(url: str, ownership: str, direct: tuple[str, ...]) -> None:
    """What belongs to somebody else may lead anywhere tomorrow."""
    site = replace(
        fake_site_recipe("http://x"),
        url=url,
        hosts=("gpu",),
        consent=ConsentSpec(ownership, "https://art.example/terms"),
    )

    assert direct == site.direct_hosts


async def exchange(gate: EgressProxy, request: bytes, more: bytes = b"") -> bytes:
    """What the gate answers to a greeting, a request and what follows that, until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    writer.write(b"\x05\x01\x00" + request + more)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


def exchange_with_proxy(gate: EgressProxy, request: bytes, more: bytes = b"") -> bytes:
    """The same, with a gate that is open for that long."""

    async def run() -> bytes:
        await gate.start()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await exchange(gate, request, more)
        finally:
            await gate.stop()

    return asyncio.run(run())


def connect_to(host: str, port: int) -> bytes:
    """A request to connect with a host by its name."""
    return b"\x05\x01\x00\x03" + bytes([len(host)]) + host.encode() + port.to_bytes(2)


@pytest.mark.parametrize("host", ["localhost", "localhost.", "127.0.0.1", "2130706433"])
def test_a_name_for_a_private_address_leads_nowhere(host: str) -> None:
    """It is looked at after it is resolved."""
    assert exchange_with_proxy(EgressProxy(), connect_to(host, 80))[2:4] in REFUSALS


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"\x05\x02\x00\x01\x01\x01\x01\x01\x00\x50", b"\x05\x00\x05\x07"),
        (connect_to("nowhere.invalid", 80), b"\x05\x00\x05\x04"),
        (b"\x05\x01\x00\x09\x01", b"\x05\x00"),
        (b"\x05\x01", b"\x05\x00"),
    ],
)
def test_nonsense_is_turned_away(request_: bytes, answer: bytes) -> None:
    """With the reply that the protocol has for it, where it has one."""
    assert exchange_with_proxy(EgressProxy(), request_)[:4] == answer


def test_what_is_allowed_is_led_through() -> None:
    """Both ways, until both sides have said all."""
    with serve_fake_site() as address:
        port = urlsplit(address).port or 0
        asks = b"GET /robots.txt HTTP/1.0\r\n\r\n"
        answer = exchange_with_proxy(EgressProxy(lambda _address: True), connect_to("localhost", port), asks)

    assert answer.startswith(b"\x05\x00\x05\x00")
    assert answer.endswith(b"Disallow: /private/\n")


@contextmanager
def another_host() -> Iterator[tuple[str, list[str]]]:
    """The address of a server on another private host, and the paths that it was asked for."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.2", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.2:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


REQUEST_SCRIPTS = {
    "tab": "target => { open(`http://${target}/tab`); return new Promise((over) => setTimeout(over, 500)); }",
    "frame": """target => new Promise((over) => {
      const frame = Object.assign(document.createElement("iframe"), { src: `http://${target}/frame`, onload: over });
      document.body.append(frame);
    })""",
    "worker": """target => new Promise((over) => {
      const code = `fetch("http://${target}/worker", { mode: "no-cors" }).finally(() => postMessage(0)).catch(() => 0)`;
      new Worker(URL.createObjectURL(new Blob([code]))).onmessage = over;
    })""",
    "socket": """target => new Promise((over) => {
      const socket = new WebSocket(`ws://${target}/socket`);
      socket.onerror = socket.onopen = over;
    })""",
    "beacon": "target => { navigator.sendBeacon(`http://${target}/beacon`); }",
}


def run_in_job_context(site: Recipe, settings: Settings, work: Callable[[BrowserContext], Awaitable[object]]) -> None:
    """Run ``work`` in a context as jobs have them."""

    async def run() -> None:
        async with asyncio.timeout(TIMEOUT_S), open_browser_context(settings, site, None, DisplayOptions()) as context:
            await work(context)

    asyncio.run(run())


@pytest.mark.parametrize("listed", [False, True])
def test_no_way_leads_to_another_private_host(base_settings: Settings, tmp_path: Path, listed: bool) -> None:
    """Unless the recipe lists it; then every way does, so the proof is known to bite."""
    settings = replace(base_settings, data_dir=tmp_path)
    with serve_fake_site() as address, another_host() as (target, seen):
        site = replace(fake_site_recipe(address), hosts=("127.0.0.2",) if listed else ())

        async def try_all(context: BrowserContext) -> None:
            page = await context.new_page()
            await page.goto(address)
            for way in REQUEST_SCRIPTS.values():
                await page.evaluate(way, target)
            await fetch_url(page, f"http://{target}/fetched")
            with_page = await context.new_page()
            try:
                await with_page.goto(f"http://{target}/visited")
            except Error:
                assert not listed

        run_in_job_context(site, settings, try_all)

    reached = {path.strip("/") for path in seen} - {"favicon.ico"}
    assert reached == ({"tab", "frame", "worker", "socket", "fetched", "visited"} if listed else set())
