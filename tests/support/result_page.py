"""A page that shows results of any kind: pictures and videos that its server has, and videos that it records itself."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ops.testbed.page_server import serve_in_thread
from schemas.sites.recipe import Recipe
from schemas.sites.recipe_schema import load_recipe

PAGE = b"""<!doctype html><title>Results</title>
<input aria-label="Idea"> <button id="go">Go</button> <div id="out"></div>
<script>
const show = (tag, src) => {
  document.querySelector("#out").append(Object.assign(document.createElement(tag), { src, muted: true, width: 160 }));
};
const record = async (type) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 160, height: 96 });
  const context = canvas.getContext("2d"), parts = [];
  const recorder = new MediaRecorder(canvas.captureStream(25), { mimeType: type });
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
  recorder.start();
  for (let frame = 0; frame < 12; frame += 1) {
    context.fillStyle = `rgb(200, ${frame}, 10)`;
    context.fillRect(0, 0, 160, 96);
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
  recorder.stop();
  await stopped;
  return new Blob(parts, { type });
};
document.querySelector("#go").onclick = async () => {
  const [way, name] = document.querySelector("input").value.split(" ");
  if (way === "record") show("video", URL.createObjectURL(await record(name)));
  else show(way, "results/" + name);
};
</script>"""


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def do_GET(self) -> None:
        """Serve the page or a result."""
        media_type, body = self.server.results.get(self.path.removeprefix("/results/"), ("text/html", PAGE))
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Suppress request logs."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, results: Mapping[str, tuple[str, bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.results = results

    def handle_error(self, *_: Any) -> None:
        """Ignore connections that the browser closes early, as it does with videos."""


@contextmanager
def serve_result_page(results: Mapping[str, tuple[str, bytes]]) -> Iterator[str]:
    """Serve the page with these results, each a media type and bytes by its name; yields the page's address."""
    server = _Server(results)
    with serve_in_thread(server):
        yield f"http://127.0.0.1:{server.server_port}/"


def result_page_recipe(url: str) -> Recipe:
    """Return the recipe of the page; the prompt is ``img NAME``, ``video NAME`` or ``record TYPE``."""
    return load_recipe("results", result_page_recipe_file(url))


def result_page_recipe_file(url: str) -> dict[str, Any]:
    """Return the content of the recipe's file."""
    return {
        "title": "Results",
        "description": "Shows a result.",
        "url": url,
        "consent": {"ownership": "own"},
        "limits": {"concurrency": 0, "min_interval_s": 0},
        "steps": [
            {"type": "navigate", "url": "{{url}}"},
            {"type": "change", "selectors": ["aria/Idea"], "value": "{{prompt}}"},
            {"type": "click", "selectors": ["#go"], "submits": True},
        ],
        "observe": {"done": {"selectors": ["#out img", "#out video"], "settle_ms": 200}},
    }
