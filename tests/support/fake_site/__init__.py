"""A generation page for tests, served over HTTP, that imitates the behaviour of real pages, good and bad.

The query parameter ``way`` selects the behaviour (see ``page.html``); ``fake_site_recipe`` returns a matching recipe.
"""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from ops.testbed.page_server import serve_in_thread
from schemas.sites.recipe import Recipe
from schemas.sites.recipe_schema import load_recipe

PAGE = Path(__file__).parent / "page.html"
RESULT_SIZE = (96, 64)
# How long the program of the page "streamed" takes to accept a prompt, and from its preview to its picture.
SUBMIT_S, PAINTING_S = 0.7, 4.0
# Status and Retry-After of the responses that ask for a pause.
BUSY_RESPONSES: dict[str, tuple[int, Callable[[], str]]] = {
    "/busy": (429, lambda: "7"),
    "/busy-date": (503, lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)),
    "/busy-silent": (429, str),
}


def result_png(size: tuple[int, int] = RESULT_SIZE) -> bytes:
    """Return the image that the page shows as its result."""
    out = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(out, "PNG")
    return out.getvalue()


def old_png() -> bytes:
    """Return the image of an earlier run, which the page may still show."""
    out = io.BytesIO()
    Image.linear_gradient("L").resize(RESULT_SIZE).convert("RGB").save(out, "PNG")
    return out.getvalue()


# Pages without the recipe's elements, and one whose button is covered.
BARE_PAGES = {
    "/empty": "<!doctype html><title>Empty</title>",
    "/mounting": "<!doctype html><title>Mounting</title><p>Loading...</p>",
    "/covered": PAGE.read_text() + "<div style='position: fixed; inset: 0; background: white'>A window</div>",
    "/login": "<!doctype html><title>Login</title><p id=captcha hidden>Please sign in</p>"
    "<script>setTimeout(() => { document.querySelector('#captcha').hidden = false; }, 300)</script>",
}
PICTURES: dict[str, Callable[[], bytes]] = {
    "/picture.png": result_png,
    "/other.png": lambda: result_png((8, 8)),
    "/old.png": old_png,
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Serve the page, an image, or the requested error."""
        parts = urlsplit(self.path)
        if parts.path in PICTURES:
            self._send(PICTURES[parts.path](), "image/png", is_cacheable=parts.path == "/other.png")
        elif parts.path == "/latest.png":
            self._send(result_png() if parts.query in self.server.painted else old_png(), "image/png")  # type: ignore[attr-defined] # set below
        elif parts.path in BARE_PAGES:
            self._send(BARE_PAGES[parts.path].encode(), "text/html")
        elif parts.path == "/robots.txt":
            self._send(b"User-agent: *\nDisallow: /private/\n", "text/plain")
        elif parts.path in BUSY_RESPONSES:
            self._send(
                b"busy", "text/plain", status=BUSY_RESPONSES[parts.path][0], retry_after=BUSY_RESPONSES[parts.path][1]()
            )
        elif parts.path == "/broken":
            self._send(b"broken", "text/plain", status=503)
        elif parts.path == "/hang":
            self.server.hanging.wait(60)  # type: ignore[attr-defined] # set below
        elif parts.path == "/stream":
            self._stream(parts.query)
        elif parts.path == "/endless":
            self._redirect(f"/endless?n={int(parse_qs(parts.query).get('n', ['0'])[0]) + 1}")
        else:
            self._send(PAGE.read_bytes(), "text/html")

    def do_POST(self) -> None:
        """Paint: from now on this visit's latest picture is the new one."""
        parts = urlsplit(self.path)
        if parts.path == "/submit":
            # A loaded program takes its time to accept a prompt.
            self.server.hanging.wait(SUBMIT_S)  # type: ignore[attr-defined] # set below
        self.server.painted.add(parts.query)  # type: ignore[attr-defined] # set below
        self._send(b"", "text/plain")

    def _stream(self, visit: str) -> None:
        """Send server-sent events: a preview once this visit paints, and the picture after some time without news."""
        closing: threading.Event = self.server.hanging  # type: ignore[attr-defined] # set below
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        while visit not in self.server.painted and not closing.wait(0.05):  # type: ignore[attr-defined] # set below
            self.wfile.write(b": waiting\n\n")
        self.wfile.write(b"data: /other.png\n\n")
        closing.wait(PAINTING_S)
        self.wfile.write(b"data: /picture.png\n\n")
        closing.wait(60)

    def _send(
        self, body: bytes, media_type: str, status: int = 200, *, retry_after: str = "", is_cacheable: bool = False
    ) -> None:
        self.send_response(status)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        if not is_cacheable:
            self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def _redirect(self, target: str) -> None:
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Suppress request logs."""


@contextmanager
def serve_fake_site() -> Iterator[str]:
    """Run the site; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.hanging = threading.Event()  # type: ignore[attr-defined] # read above
    server.painted = set()  # type: ignore[attr-defined] # read above
    server.daemon_threads = True
    with serve_in_thread(server):
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.hanging.set()  # type: ignore[attr-defined] # as above


def fake_site_recipe(address: str, way: str = "blob", path: str = "/", **changes: Any) -> Recipe:
    """Return a recipe for the page with the behaviour ``way``; ``changes`` replace fields of the recipe."""
    raw: dict[str, Any] = {
        "title": "Fake site",
        "description": "For tests.",
        "url": f"{address}{path}?way={way}",
        "consent": {"ownership": "own"},
        "hosts": ["localhost"],
        "limits": {"concurrency": 0, "min_interval_s": 0, "daily": 0},
        "inputs": {"sampler": {"type": "string"}, "steps": {"type": "integer"}},
        "steps": [
            {"type": "navigate", "url": "{{url}}", "timeout": 3000},
            {"type": "change", "selectors": ["#gone", "aria/Prompt"], "value": "{{prompt}}", "timeout": 5000},
            {"type": "change", "selectors": ["#sampler"], "value": "{{sampler}}", "when": "sampler"},
            {"type": "keyDown", "key": "Tab"},
            {"type": "keyUp", "key": "Tab"},
            {"type": "click", "selectors": [["#host", "button"], ["text/Paint"]], "submits": True, "timeout": 5000},
        ],
        "observe": {
            "done": {"selectors": ["#result"]},
            **({"busy": {"selectors": ["#busy"]}} if way in ("late", "same", "streamed", "loads") else {}),
            "preview": {"selectors": ["#preview"]},
            "progress": {"selectors": ["#progress"]},
            "error": {"selectors": ["#error"]},
            "human": {"selectors": ["#captcha"]},
        },
    }
    return replace(load_recipe("fake", raw), **changes)
