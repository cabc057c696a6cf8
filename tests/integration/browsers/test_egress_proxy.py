"""The egress proxy: pages reach the site's own hosts and public addresses only."""

import asyncio
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
from ops.testbed.page_server import serve_in_thread
from schemas.sites.recipe import ConsentSpec, Recipe
from tests.conftest import TIMEOUT_S
from tests.support.fake_site import fake_site_recipe, serve_fake_site
from workers.browsers.egress_proxy import EgressProxy, is_public
from workers.sites.cli.browser_session import DisplayOptions, open_browser_context
from workers.sites.driver.capture.browser_fetch import fetch_url

PRIVATE = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "::1", "fe80::1%eth0", "fd00::1"]
HIDDEN = ["::ffff:127.0.0.1", "2002:7f00:1::", "0.0.0.0", "224.0.0.1", "ff02::1", "::"]  # noqa: S104 - nothing listens

# "Not allowed", or "host unreachable" where this machine's resolver does not know the name.
REFUSALS = (b"\x05\x02", b"\x05\x04")


@pytest.mark.parametrize("address", PRIVATE + HIDDEN)
def test_non_public_addresses_are_recognized(address: str) -> None:
    """They include addresses that embed a private IPv4 address."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111"])
def test_public_addresses_are_recognized(address: str) -> None:
    """Public IPv4 and IPv6 addresses are allowed."""
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
def test_direct_hosts_exclude_names_that_third_parties_control(
    url: str, ownership: str, direct: tuple[str, ...]
) -> None:
    """The DNS name of a third party may resolve to a private address at any time."""
    site = replace(
        fake_site_recipe("http://x"),
        url=url,
        hosts=("gpu",),
        consent=ConsentSpec(ownership, "https://art.example/terms"),
    )

    assert direct == site.direct_hosts


async def exchange(proxy: EgressProxy, request: bytes, payload: bytes = b"") -> bytes:
    """Send a greeting, a request and a payload; return everything that the proxy sends back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"\x05\x01\x00" + request + payload)
    writer.write_eof()
    response = await reader.read()
    writer.close()
    return response


def exchange_with_proxy(proxy: EgressProxy, request: bytes, payload: bytes = b"") -> bytes:
    """Start the proxy, run one exchange and stop it."""

    async def run() -> bytes:
        await proxy.start()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await exchange(proxy, request, payload)
        finally:
            await proxy.stop()

    return asyncio.run(run())


def connect_request(host: str, port: int) -> bytes:
    """Return a CONNECT request for a host name."""
    return b"\x05\x01\x00\x03" + bytes([len(host)]) + host.encode() + port.to_bytes(2)


@pytest.mark.parametrize("host", ["localhost", "localhost.", "127.0.0.1", "2130706433"])
def test_a_name_that_resolves_to_a_private_address_is_refused(host: str) -> None:
    """The check follows the resolution of the name."""
    assert exchange_with_proxy(EgressProxy(), connect_request(host, 80))[2:4] in REFUSALS


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        (b"\x05\x02\x00\x01\x01\x01\x01\x01\x00\x50", b"\x05\x00\x05\x07"),
        (connect_request("nowhere.invalid", 80), b"\x05\x00\x05\x04"),
        (b"\x05\x01\x00\x09\x01", b"\x05\x00"),
        (b"\x05\x01", b"\x05\x00"),
    ],
)
def test_invalid_requests_are_refused(request_: bytes, response: bytes) -> None:
    """The reply has the code of RFC 1928 where there is one."""
    assert exchange_with_proxy(EgressProxy(), request_)[:4] == response


def test_an_allowed_connection_is_relayed_both_ways() -> None:
    """The relay ends when both sides have closed."""
    with serve_fake_site() as address:
        port = urlsplit(address).port or 0
        payload = b"GET /robots.txt HTTP/1.0\r\n\r\n"
        response = exchange_with_proxy(EgressProxy(lambda _address: True), connect_request("localhost", port), payload)

    assert response.startswith(b"\x05\x00\x05\x00")
    assert response.endswith(b"Disallow: /private/\n")


@contextmanager
def serve_other_private_host() -> Iterator[tuple[str, list[str]]]:
    """Run a server on another private address; yields its address and the list of requested paths."""
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: Any) -> None:
            """Suppress request logs."""

    server = ThreadingHTTPServer(("127.0.0.2", 0), Handler)
    with serve_in_thread(server):
        yield f"127.0.0.2:{server.server_port}", requested


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
    """Run ``work`` in a browser context like that of a job."""

    async def run() -> None:
        async with asyncio.timeout(TIMEOUT_S), open_browser_context(settings, site, None, DisplayOptions()) as context:
            await work(context)

    asyncio.run(run())


@pytest.mark.parametrize("listed", [False, True])
def test_a_page_reaches_another_private_host_only_if_listed(
    base_settings: Settings, tmp_path: Path, listed: bool
) -> None:
    """Tabs, frames, workers, WebSockets, beacons, fetches and navigations are refused unless the host is listed."""
    settings = replace(base_settings, data_dir=tmp_path)
    with serve_fake_site() as address, serve_other_private_host() as (target, requested):
        site = replace(fake_site_recipe(address), hosts=("127.0.0.2",) if listed else ())

        async def try_all(context: BrowserContext) -> None:
            page = await context.new_page()
            await page.goto(address)
            for script in REQUEST_SCRIPTS.values():
                await page.evaluate(script, target)
            await fetch_url(page, f"http://{target}/fetched")
            second_page = await context.new_page()
            try:
                await second_page.goto(f"http://{target}/visited")
            except Error:
                assert not listed

        run_in_job_context(site, settings, try_all)

    reached = {path.strip("/") for path in requested} - {"favicon.ico"}
    assert reached == ({"tab", "frame", "worker", "socket", "fetched", "visited"} if listed else set())
