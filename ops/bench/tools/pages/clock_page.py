"""A light generation page for benchmarks: it draws nothing but previews that encode the time they are shown."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image

from ops.testbed.page_server import page_recipe, serve_in_thread

CLOCK_SITE = "clock"
# The layout of the squares in clock_page.html.
BITS, SIDE, COLUMNS = 48, 40, 8
THRESHOLD = 127


@dataclass(frozen=True, slots=True)
class ClockPage:
    """The URL of the page, and the folder with its recipe."""

    url: str
    recipes_dir: str


@contextmanager
def run_clock_page(*, previews: int) -> Iterator[ClockPage]:
    """Serve the page on loopback; it shows ``previews`` previews, about 0.4 s apart, before the result."""
    handler = partial(_QuietHandler, directory=str(Path(__file__).parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with serve_in_thread(server), tempfile.TemporaryDirectory() as folder:
        url = f"http://127.0.0.1:{server.server_port}/clock_page.html?previews={previews}"
        recipe = page_recipe("Clock", "Shows the time in its previews.", url, "preview")
        (Path(folder) / f"{CLOCK_SITE}.toml").write_text(recipe)
        yield ClockPage(url, folder)


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


def read_time_ms(jpeg: bytes) -> int:
    """Return the time that a preview encodes, in Unix milliseconds."""
    with Image.open(io.BytesIO(jpeg)) as image:
        grey = image.convert("L")
        values = [
            grey.getpixel((SIDE * (bit % COLUMNS) + SIDE // 2, SIDE * (bit // COLUMNS) + SIDE // 2))
            for bit in range(BITS)
        ]
    return int("".join("1" if isinstance(value, int) and value > THRESHOLD else "0" for value in values), 2)
