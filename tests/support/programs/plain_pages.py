"""Pages that are made with no known program, one at each path, for tests of learned recipes."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

SCRIPT = """
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const sum = (text) => [...text].reduce((total, letter) => (total * 31 + letter.charCodeAt(0)) % 360, 7);
const paint = (canvas, text, light) => {
  const context = canvas.getContext("2d");
  context.fillStyle = `hsl(${sum(text)} 80% ${light}%)`;
  context.fillRect(0, 0, canvas.width, canvas.height);
};
const picture = (text, light) => {
  const canvas = document.createElement("canvas");
  canvas.width = 160; canvas.height = 120;
  paint(canvas, text + Math.random(), light);
  return canvas.toDataURL();
};
"""
# The button is disabled while the page works, and previews appear before the result.
WORKING = """<label for="idea">Describe your picture</label><textarea id="idea"></textarea>
<input placeholder="Search the gallery"><button id="clear">Clear</button><button id="go">Create</button>
<img src="data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='100' height='100'/>" width="100">
<div id="results"></div>
<script>go.onclick = async () => {
  go.disabled = true;
  results.innerHTML = "<img>";
  for (const light of [20, 40, 60]) { results.firstChild.src = picture(idea.value, light); await pause(300); }
  go.disabled = false;
}</script>"""
# Nothing tells that the page works; the result is drawn on a canvas that exists from the beginning.
CANVAS = """<div contenteditable="true" aria-label="Prompt" style="min-height: 40px; border: 1px solid"></div>
<button>Draw</button><canvas id="sheet" width="200" height="150"></canvas>
<script>document.querySelector("button").onclick = async () => {
  await pause(400);
  paint(sheet, document.querySelector("[contenteditable]").textContent + Math.random(), 50);
}</script>"""
AMBIGUOUS = """<textarea aria-label="Prompt"></textarea><button>Alpha</button><button>Beta</button>"""
SILENT = """<textarea aria-label="Prompt"></textarea><button>Generate</button><p role="alert" hidden>Out of credits.</p>
<script>document.querySelector("button").onclick = () => { document.querySelector("p").hidden = false; }</script>"""
FIELDLESS = "<button>Generate</button>"
PAGES = {
    "/working": WORKING,
    "/canvas": CANVAS,
    "/ambiguous": AMBIGUOUS,
    "/silent": SILENT,
    "/fieldless": FIELDLESS,
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Serve a page."""
        body = PAGES.get(self.path.rstrip("/"))
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        html = f"<!doctype html><title>Plain page</title><script>{SCRIPT}</script>{body}"
        self.wfile.write(html.encode() if body else b"not found")

    def log_message(self, *_: Any) -> None:
        """Suppress request logs."""


@contextmanager
def serve_plain_pages() -> Iterator[str]:
    """Serve the pages; yields the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
