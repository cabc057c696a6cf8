"""The hostile site: a generation page that does what makes pictures end up with the wrong job.

It rewrites prompts, answers out of order, goes on showing the last picture until the new one is ready, shows other
people's pictures beside yours, and now and then does not answer or refuses. Served by ``ops.chaos`` and by tests.
"""

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ops.testbed.marked_images import draw

PAGE = (Path(__file__).parent / "hostile_site.html").read_bytes()
STEPS = 4
FEED_LENGTH = 6
POLL_INTERVAL_S = 0.05


@dataclass(frozen=True, slots=True)
class SiteBehavior:
    """How bad the site is: shortest and longest time for a picture, how often it is down or refuses (0 to 1)."""

    min_s: float = 0.2
    max_s: float = 1.5
    outage_rate: float = 0.0
    refusal_rate: float = 0.0
    seed: int = 1


@dataclass(slots=True)
class Generation:
    """What somebody has asked for."""

    prompt: str
    nonce: int
    started_at: float
    duration_s: float
    refused: bool


@dataclass
class SiteState:
    """Everything that the site knows; shared by the threads that answer."""

    behavior: SiteBehavior
    rng: random.Random = field(init=False)
    lock: threading.Lock = field(default_factory=threading.Lock)
    generations: list[Generation] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The same seed, the same moods."""
        self.rng = random.Random(self.behavior.seed)

    def is_down(self) -> bool:
        """Whether the page does not answer this time."""
        with self.lock:
            return self.rng.random() < self.behavior.outage_rate

    def begin(self, prompt: str, nonce: int) -> int:
        """A new painting; its ticket."""
        with self.lock:
            takes_s = self.rng.uniform(self.behavior.min_s, self.behavior.max_s)
            refused = self.rng.random() < self.behavior.refusal_rate
            # What the page shows is never quite what was typed.
            rewritten = f"masterpiece, {' '.join(prompt.split())}, highly detailed"
            self.generations.append(Generation(rewritten, nonce, time.monotonic(), takes_s, refused))
            return len(self.generations) - 1

    def status(self, ticket: int) -> dict[str, Any]:
        """How far a painting is."""
        painting = self.generations[ticket]
        part = (time.monotonic() - painting.started_at) / painting.duration_s
        if painting.refused and part > 0.5:
            return {"error": "This prompt is against our rules."}
        step = min(STEPS, int(part * STEPS))
        return {
            "step": step,
            "steps": STEPS,
            "done": part >= 1,
            "prompt": painting.prompt,
            "preview": f"previews/{ticket}.png?{step}",
            "src": f"pictures/{ticket}.png",
        }

    def feed(self) -> list[dict[str, str]]:
        """The newest finished pictures, whosever they are."""
        now = time.monotonic()
        with self.lock:
            done = [
                {"src": f"pictures/{ticket}.png", "prompt": painting.prompt}
                for ticket, painting in enumerate(self.generations)
                if not painting.refused and now - painting.started_at >= painting.duration_s
            ]
        return done[: -FEED_LENGTH - 1 : -1]

    def image(self, ticket: int) -> bytes:
        """The picture, with the number of its submission in its pixels."""
        return draw(self.generations[ticket].nonce, ticket)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        studio = self.server.state
        kind, _, rest = self.path.partition("?")[0].strip("/").partition("/")
        if kind in ("pictures", "previews"):
            self._send(studio.image(int(rest.partition(".")[0])), "image/png")
        elif kind == "jobs":
            self._send_json(studio.status(int(rest)))
        elif kind.startswith("loop"):
            self._redirect()
        elif kind == "feed":
            self._send_json(studio.feed())
        elif studio.is_down():
            self._send(b"down", "text/plain", 503)
        else:
            self._send(PAGE, "text/html")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._send_json({"ticket": self.server.state.begin(asked["prompt"], int(asked["seed"]))})

    def _redirect(self) -> None:
        self.send_response(302)
        self.send_header("Location", f"/loop?{self.path.partition('?')[2]}0"[:100])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_json(self, value: object) -> None:
        self._send(json.dumps(value).encode(), "application/json")

    def _send(self, body: bytes, media_type: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, state: SiteState) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state

    def handle_error(self, _request: object, _address: object) -> None:
        """Browsers are killed in the middle of requests; that is what this is for."""


@contextmanager
def running_site(behavior: SiteBehavior) -> Iterator[str]:
    """The address of a running hostile site."""
    server = _Server(SiteState(behavior))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": POLL_INTERVAL_S}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def recipe(url: str, result_selector: str = "#current", *, concurrency: int = 0, min_interval_s: float = 0.0) -> str:
    """The recipe of the site, as TOML; ``result`` selects the finished picture, the others are its limits."""
    limits = RECIPE_TEMPLATE.replace("AT_ONCE", str(concurrency)).replace("PAUSE_S", str(min_interval_s))
    return limits.replace("ADDRESS", url).replace("RESULT", json.dumps(result_selector))


RECIPE_TEMPLATE = """\
title = "Hostile site"
description = "Confuses whoever matches pictures by anything but their own place."
url = "ADDRESS"

[consent]
ownership = "own"

[limits]
concurrency = AT_ONCE
min_interval_s = PAUSE_S
daily = 0

[inputs.seed]
type = "integer"
label = "The number that the picture carries."

[[steps]]
type = "navigate"
url = "{{url}}"
timeout = 5000

[[steps]]
type = "change"
selectors = ["aria/Prompt"]
value = "{{prompt}}"

[[steps]]
type = "change"
selectors = ["aria/Seed"]
value = "{{seed}}"

[[steps]]
type = "click"
selectors = ["#paint"]
submits = true

[observe.done]
selectors = [RESULT]

[observe.busy]
selectors = ["#busy"]

[observe.preview]
selectors = ["#preview"]

[observe.progress]
selectors = ["#progress"]
pattern = '(\\d+)/(\\d+)'

[observe.error]
selectors = ["#error"]
"""
