"""A hostile generation page: it does everything that makes images end up with the wrong job.

It rewrites prompts, finishes out of order, shows the previous image until the new one is ready and other users' images
beside it, and at a configured rate does not answer or refuses a prompt.
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
from ops.testbed.page_server import serve_in_thread

PAGE = (Path(__file__).parent / "hostile_site.html").read_bytes()
STEPS = 4
FEED_LENGTH = 6
# POST: the page of the next generation floods its browser.
FLOOD_PATH = "/flood"


@dataclass(frozen=True, slots=True)
class SiteBehavior:
    """Bounds of the generation time in seconds, and the shares of requests that fail or are refused (0 to 1)."""

    min_s: float = 0.2
    max_s: float = 1.5
    outage_rate: float = 0.0
    refusal_rate: float = 0.0
    seed: int = 1


@dataclass(slots=True)
class Generation:
    """A submitted prompt; ``started_at`` is a ``time.monotonic`` value."""

    prompt: str
    nonce: int
    started_at: float
    duration_s: float
    refused: bool


@dataclass
class SiteState:
    """The state of the site, shared by the server's threads."""

    behavior: SiteBehavior
    rng: random.Random = field(init=False)
    lock: threading.Lock = field(default_factory=threading.Lock)
    generations: list[Generation] = field(default_factory=list)
    floods: int = 0

    def __post_init__(self) -> None:
        """Seed the random numbers, so that runs are repeatable."""
        self.rng = random.Random(self.behavior.seed)

    def is_down(self) -> bool:
        """Decide whether the page fails to answer this time."""
        with self.lock:
            return self.rng.random() < self.behavior.outage_rate

    def begin(self, prompt: str, nonce: int) -> int:
        """Start a generation and return its number."""
        with self.lock:
            duration_s = self.rng.uniform(self.behavior.min_s, self.behavior.max_s)
            refused = self.rng.random() < self.behavior.refusal_rate
            # The page never shows the prompt exactly as it was typed.
            rewritten = f"masterpiece, {' '.join(prompt.split())}, highly detailed"
            self.generations.append(Generation(rewritten, nonce, time.monotonic(), duration_s, refused))
            return len(self.generations) - 1

    def flood_later(self) -> None:
        """Make the page of one more generation flood its browser."""
        with self.lock:
            self.floods += 1

    def take_flood(self) -> bool:
        """Whether the page of this generation floods."""
        with self.lock:
            is_due = self.floods > 0
            self.floods -= is_due
            return is_due

    def status(self, number: int) -> dict[str, Any]:
        """Return the progress of a generation as the page reads it."""
        generation = self.generations[number]
        share = (time.monotonic() - generation.started_at) / generation.duration_s
        if generation.refused and share > 0.5:
            return {"error": "This prompt is against our rules."}
        step = min(STEPS, int(share * STEPS))
        return {
            "step": step,
            "steps": STEPS,
            "done": share >= 1,
            "prompt": generation.prompt,
            "preview": f"previews/{number}.png?{step}",
            "src": f"pictures/{number}.png",
        }

    def feed(self) -> list[dict[str, str]]:
        """Return the newest finished images of all users."""
        now = time.monotonic()
        with self.lock:
            finished = [
                {"src": f"pictures/{number}.png", "prompt": generation.prompt}
                for number, generation in enumerate(self.generations)
                if not generation.refused and now - generation.started_at >= generation.duration_s
            ]
        return finished[: -FEED_LENGTH - 1 : -1]

    def image(self, number: int) -> bytes:
        """Return the image of a generation, with the nonce of its submission in its pixels."""
        return draw(self.generations[number].nonce, number)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        state = self.server.state
        kind, _, rest = self.path.partition("?")[0].strip("/").partition("/")
        if kind in ("pictures", "previews"):
            self._send(state.image(int(rest.partition(".")[0])), "image/png")
        elif kind == "jobs":
            self._send_json(state.status(int(rest)))
        elif kind.startswith("loop"):
            self._redirect()
        elif kind == "feed":
            self._send_json(state.feed())
        elif state.is_down():
            self._send(b"down", "text/plain", 503)
        else:
            self._send(PAGE, "text/html")

    def do_POST(self) -> None:
        body, state = self.rfile.read(int(self.headers["Content-Length"])), self.server.state
        if self.path == FLOOD_PATH:
            state.flood_later()
            self._send_json({})
            return
        fields = json.loads(body)
        number = state.begin(fields["prompt"], int(fields["seed"]))
        self._send_json({"number": number, "floods": state.take_flood()})

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
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, state: SiteState) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state

    def handle_error(self, _request: object, _address: object) -> None:
        """Ignore broken connections: browsers are killed in the middle of requests."""


@contextmanager
def running_site(behavior: SiteBehavior) -> Iterator[str]:
    """Yield the URL of a running hostile site."""
    server = _Server(SiteState(behavior))
    with serve_in_thread(server):
        yield f"http://127.0.0.1:{server.server_port}/"


def recipe(url: str, result_selector: str = "#current", *, concurrency: int = 0, min_interval_s: float = 0.0) -> str:
    """Return the site's recipe as TOML; ``result_selector`` finds the finished image, the rest are limits."""
    limits = RECIPE_TEMPLATE.replace("AT_ONCE", str(concurrency)).replace("PAUSE_S", str(min_interval_s))
    return limits.replace("ADDRESS", url).replace("RESULT", json.dumps(result_selector))


RECIPE_TEMPLATE = """\
title = "Hostile site"
description = "Confuses clients that match images by anything but the element that shows their own."
url = "ADDRESS"

[consent]
ownership = "own"

[limits]
concurrency = AT_ONCE
min_interval_s = PAUSE_S
daily = 0

[inputs.seed]
type = "integer"
label = "The number that the image carries."

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
