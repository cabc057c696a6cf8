"""Clients that submit jobs at a steady rate during fault injection and retry every request until it is answered."""

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
    """A submitted image: the number that it must carry, and the id of the accepted job, if there is one."""

    nonce: int
    owner: str
    job_id: str | None = None


class SubmittingClient:
    """A client with its own key and thread."""

    def __init__(self, url: str, key: str, owner: str, seed: int, pause_s: float) -> None:
        """``pause_s`` is the mean time between submissions; the same ``seed`` gives the same submissions."""
        self._url = url
        self._headers = {"x-api-key": key}
        self._owner = owner
        self._rng = random.Random(seed)
        self._pause_s = pause_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"client {owner}", daemon=True)
        self.expected_images: list[ExpectedImage] = []

    def start(self) -> None:
        """Start submitting."""
        self._thread.start()

    def stop(self) -> None:
        """Submit no further jobs; the current submission is still retried until it is answered."""
        self._stopped.set()

    @property
    def is_busy(self) -> bool:
        """Whether a submission is still unanswered."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopped.wait(self._rng.expovariate(1 / self._pause_s)):
            expected = ExpectedImage(self._rng.getrandbits(32), self._owner)
            body = {
                "prompt": self._rng.choice(PROMPTS),
                "inputs": {"seed": expected.nonce},
                "priority": self._rng.randint(-10, 10),
            }
            cancels = self._rng.random() < CANCELLED_SHARE
            self.expected_images.append(expected)
            self._submit(expected, body)
            if cancels and expected.job_id:
                self._cancel(expected.job_id)

    def _submit(self, expected: ExpectedImage, body: dict[str, object]) -> None:
        # The idempotency key keeps a repeated request from creating a second job.
        headers = self._headers | {"Idempotency-Key": f"chaos-{expected.nonce}"}
        deadline = time.monotonic() + SUBMIT_TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                response = httpx.post(
                    f"{self._url}/api/v1/jobs", json=body, headers=headers, timeout=REQUEST_TIMEOUT_S, trust_env=False
                )
                if response.status_code == httpx.codes.ACCEPTED:
                    expected.job_id = str(response.json()["id"])
                    return
            time.sleep(RETRY_INTERVAL_S)

    def _cancel(self, job_id: str) -> None:
        url = f"{self._url}/api/v1/jobs/{job_id}"
        with contextlib.suppress(httpx.HTTPError):
            httpx.delete(url, headers=self._headers, timeout=REQUEST_TIMEOUT_S, trust_env=False)
