"""Pages that take pictures and show them again: by file inputs, a file chooser, an upload route, and real Gradio."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from werkzeug.formparser import parse_form_data

from ops.testbed.page_server import serve_in_thread

PAGE = b"""<!doctype html><title>Pictures</title>
<input aria-label="Idea"> <input id="init" type="file" hidden> <input id="mask" type="file">
<button id="choose">Choose a picture</button> <input id="workflow" type="file"> <button id="go">Go</button>
<div id="out"></div>
<script>
let chosen = null;
// What a page is given is no result of it, so it shows the picture with one byte more.
const change = (file) => URL.createObjectURL(new Blob([file, "!"], { type: file.type }));
const show = (url) => { document.querySelector("#out").append(Object.assign(new Image(), { src: url })); };
document.querySelector("#choose").onclick = () => {
  const field = Object.assign(document.createElement("input"), { type: "file" });
  field.onchange = () => { chosen = field.files[0]; };
  field.click();
};
document.querySelector("#go").onclick = async () => {
  for (const id of ["init", "mask"]) {
    const file = document.getElementById(id).files[0];
    if (file) show(change(file));
  }
  if (chosen) show(change(chosen));
  const workflow = document.querySelector("#workflow").files[0];
  if (workflow) show("stored/" + JSON.parse(await workflow.text())["1"].inputs.image);
};
</script>"""


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def do_GET(self) -> None:
        """Serve the page or a stored picture."""
        if match := re.fullmatch(r"/stored/(.+)", self.path):
            self._send(200, "image/png", self.server.stored[match[1]] + b"!")
        else:
            self._send(200, "text/html", PAGE)

    def do_POST(self) -> None:
        """Store a picture as ComfyUI does: under a name that the answer tells."""
        environ = {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": self.headers["Content-Type"],
            "CONTENT_LENGTH": self.headers["Content-Length"],
            "wsgi.input": self.rfile,
        }
        _, _, files = parse_form_data(environ)
        uploads = {field: (file.filename, file.read()) for field, file in files.items()}
        for file in files.values():
            file.close()
        if self.path != "/upload/image" or "image" not in uploads:
            self._send(400, "text/plain", b"no image")
            return
        file_name, content = uploads["image"]
        name = f"kept-{file_name}"
        self.server.stored[name] = content
        self._send(200, "application/json", json.dumps({"name": name, "subfolder": "", "type": "input"}).encode())

    def _send(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Suppress request logs."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stored: dict[str, bytes] = {}


@contextmanager
def serve_image_page() -> Iterator[str]:
    """Serve the page; yields its address."""
    server = _Server()
    with serve_in_thread(server):
        yield f"http://127.0.0.1:{server.server_port}/"


def image_page_recipe(url: str, *uploads: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe file of the page, with the image inputs ``init`` and ``mask`` and these upload steps."""
    document = json.dumps({"1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}}})
    return {
        "title": "Pictures",
        "description": "Shows the pictures that it gets.",
        "url": url,
        "consent": {"ownership": "own"},
        "limits": {"concurrency": 0, "min_interval_s": 0},
        "inputs": {
            "init": {"type": "image", "label": "The picture to begin with"},
            "mask": {"type": "image", "same_size_as": "init"},
        },
        "documents": {"workflow": {"content": document, "fields": {"1.inputs.image": "{{init}}"}}},
        "steps": [
            {"type": "navigate", "url": "{{url}}"},
            *({"type": "customStep", "name": "upload", **upload} for upload in uploads),
            {"type": "change", "selectors": ["aria/Idea"], "value": "{{prompt}}"},
            {"type": "click", "selectors": ["#go"], "submits": True},
        ],
        "observe": {"done": {"selectors": ["#out img"], "settle_ms": 200}},
        "capture": {"selectors": ["#out img"], "many": True},
    }
