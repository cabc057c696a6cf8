"""The clients of the chaos: several callers who submit at a steady pace and never take a broken answer for a no.

Started and stopped by ``ops.chaos.command``; what they were promised is judged by ``ops.chaos.verdict``.
"""

import contextlib
import random
import threading
import time
from dataclasses import dataclass

import httpx

PROMPTS = ("a lighthouse at dusk", "a lighthouse at dusk", "a lighthouse at dusk, oil painting")
RETRY_INTERVAL_S = 0.3
SUBMIT_TIMEOUT_S = 120.0
REQUEST_TIMEOUT_S = 5.0
CANCELLED_SHARE = 0.03


@dataclass(slots=True)
class ExpectedImage:
    """A picture that somebody wants: the number that it must carry, and the job that was accepted for it, if any."""

    nonce: int
    owner: str
    job_id: str | None = None


class SubmittingClient:
    """One client with a key of its own, in a thread of its own."""

    def __init__(self, url: str, key: str, owner: str, seed: int, pause_s: float) -> None:
        """``pause_s`` is the mean time between two submissions; the same ``seed`` makes the same wishes."""
        self._url = url
        self._headers = {"x-api-key": key}
        self._owner = owner
        self._rng = random.Random(seed)
        self._pause_s = pause_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"caller {owner}", daemon=True)
        self.expected_images: list[ExpectedImage] = []

    def start(self) -> None:
        """Begin to submit."""
        self._thread.start()

    def stop(self) -> None:
        """Submit nothing new; what was begun is still answered."""
        self._stopped.set()

    @property
    def is_busy(self) -> bool:
        """Whether an answer is still awaited."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopped.wait(self._rng.expovariate(1 / self._pause_s)):
            wish = ExpectedImage(self._rng.getrandbits(32), self._owner)
            body = {
                "prompt": self._rng.choice(PROMPTS),
                "inputs": {"seed": wish.nonce},
                "priority": self._rng.randint(-10, 10),
            }
            cancels = self._rng.random() < CANCELLED_SHARE
            self.expected_images.append(wish)
            self._submit(wish, body)
            if cancels and wish.job_id:
                self._cancel(wish.job_id)

    def _submit(self, wish: ExpectedImage, body: dict[str, object]) -> None:
        """Until there is an answer; the idempotency key keeps a repeated request from becoming a second job."""
        headers = self._headers | {"Idempotency-Key": f"wish-{wish.nonce}"}
        deadline = time.monotonic() + SUBMIT_TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                answer = httpx.post(
                    f"{self._url}/api/v1/jobs", json=body, headers=headers, timeout=REQUEST_TIMEOUT_S, trust_env=False
                )
                if answer.status_code == httpx.codes.ACCEPTED:
                    wish.job_id = str(answer.json()["id"])
                    return
            time.sleep(RETRY_INTERVAL_S)

    def _cancel(self, job_id: str) -> None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.delete(
                f"{self._url}/api/v1/jobs/{job_id}", headers=self._headers, timeout=REQUEST_TIMEOUT_S, trust_env=False
            )
