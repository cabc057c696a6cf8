"""A program with the page of Fooocus and its worst traits: one worker, and one list of outputs for all pages.

A page that was closed stops nothing: the worker paints on, and whichever page asks next receives what it has painted.
Words of the prompt ask for more: "explode" (an exception shows nothing), "stays" (the stop button stays visible),
"missing" (the picture's file is gone), "slow" (many steps), "once: WORDS" (an error, the first time).
"""

import base64
import io
import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ops.testbed.page_server import serve_in_thread
from tests.support.programs.rendering import render_image

PAGE = Path(__file__).with_name("shared_outputs.html")
STEPS = 4
SLOW_STEPS = 200
STEP_S = 0.2


class SharedOutputs:
    """The state of the program; ``log`` has what its worker did, as ``EVENT PROMPT``."""

    def __init__(self) -> None:
        self.url = ""
        self.log: list[str] = []
        self._tasks: deque[str] = deque()
        self._outputs: deque[dict[str, Any]] = deque()
        self._has_task = threading.Condition()
        self._rejected: set[str] = set()
        self._is_interrupted = False
        self._current = ""
        threading.Thread(target=self._work, daemon=True).start()

    def submit(self, prompt: str) -> str:
        """Queue a prompt, or return the words of an error."""
        before, marker, words = prompt.partition("once: ")
        if marker and prompt not in self._rejected:
            self._rejected.add(prompt)
            self.log.append(f"rejected {before.strip()}")
            return words
        with self._has_task:
            self._tasks.append(prompt)
            self._has_task.notify()
        return ""

    def stop(self, prompt: str) -> None:
        """Stop the prompt of the page that asks, whether it waits or is painted."""
        with self._has_task:
            if prompt in self._tasks:
                self._tasks.remove(prompt)
                self.log.append(f"removed {prompt}")
            elif prompt == self._current:
                self._is_interrupted = True

    def next_output(self) -> dict[str, Any]:
        """Return the oldest output, whichever page asks."""
        return self._outputs.popleft() if self._outputs else {"kind": "nothing"}

    def _work(self) -> None:
        while True:
            with self._has_task:
                self._has_task.wait_for(lambda: self._tasks)
                self._current, self._is_interrupted = self._tasks.popleft(), False
            self.log.append(f"started {self._current}")
            event = self._paint(self._current)
            self.log.append(f"{event} {self._current}")
            self._current = ""

    def _paint(self, prompt: str) -> str:
        steps = SLOW_STEPS if "slow" in prompt else STEPS
        for step in range(1, steps + 1):
            time.sleep(STEP_S)
            if self._is_interrupted:
                self._outputs.append({"kind": "finish", "pictures": []})
                return "stopped"
            if "explode" in prompt and step == 2:
                self._outputs.append({"kind": "finish", "pictures": []})
                return "failed"
            picture = _data_url(prompt, brightness=step / steps)
            self._outputs.append({"kind": "preview", "percent": 100 * step // steps, "picture": picture})
        pictures = ["/gone.png"] if "missing" in prompt else [_data_url(prompt), _data_url(prompt, number=1)]
        self._outputs.append({"kind": "finish", "pictures": pictures, "stays": "stays" in prompt})
        return "finished"


def _data_url(prompt: str, *, number: int = 0, brightness: float = 1.0) -> str:
    out = io.BytesIO()
    render_image(prompt, number, brightness=brightness).save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Serve the page."""
        if self.path.startswith("/?") or self.path == "/":
            self._send(PAGE.read_bytes(), "text/html")
        else:
            self._send(b"", "text/plain", 404)

    def do_POST(self) -> None:
        """Queue, stop, or return the next output."""
        parts = urlsplit(self.path)
        program: SharedOutputs = self.server.program  # type: ignore[attr-defined] # set below
        prompt = parse_qs(parts.query).get("prompt", [""])[0]
        answer: dict[str, Any] = {}
        if parts.path == "/generate":
            answer = {"error": program.submit(prompt)}
        elif parts.path == "/stop":
            program.stop(prompt)
        else:
            answer = program.next_output()
        self._send(json.dumps(answer).encode(), "application/json")

    def _send(self, body: bytes, media_type: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Suppress request logs."""


@contextmanager
def serve_shared_outputs() -> Iterator[SharedOutputs]:
    """Run the program."""
    program = SharedOutputs()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.program = program  # type: ignore[attr-defined] # read above
    program.url = f"http://127.0.0.1:{server.server_port}/"
    with serve_in_thread(server):
        yield program
