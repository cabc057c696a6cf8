"""The benchmark ``surfaces``: what APIs of other programs add to the native API, for the same job.

A job is submitted, ends at once (a thread takes the place of the workers), and its picture is fetched. The native API
takes three requests for that, the others one.
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from ops.bench.report import Row
from ops.testbed.stack import KEY, Stack, run_stack
from ops.testbed.statistics import percentile
from schemas.jobs.job import GeneratedImage, Job

MAX_OVERHEAD_MS = 5.0
PROMPT = "a lighthouse at dusk, oil painting"
INPUTS = {"seed": 7}
# As large as a picture of the studio.
IMAGE = GeneratedImage(bytes(300_000), "image/png", 512, 512)
WAIT_S = 0.2


@dataclass(frozen=True, slots=True)
class Size:
    """Jobs of each API."""

    jobs: int


FULL = Size(jobs=200)
SMOKE = Size(jobs=3)


def call_native(client: httpx.Client) -> bytes:
    """Submit a job, wait for its end, and fetch the picture."""
    job = client.post("/api/v1/jobs", json={"prompt": PROMPT, "inputs": INPUTS}).raise_for_status().json()
    while job["status"] not in ("COMPLETED", "FAILED"):
        job = client.get(f"/api/v1/jobs/{job['id']}", params={"wait": 30, "since": job["seq"]}).json()
    return client.get(f"/api/v1/jobs/{job['id']}/result").raise_for_status().content


def call_openai(client: httpx.Client) -> bytes:
    """Ask OpenAI's Images API for the picture."""
    body = {"prompt": PROMPT, "response_format": "b64_json", **INPUTS}
    answer = client.post("/v1/images/generations", json=body).raise_for_status().json()
    return base64.b64decode(answer["data"][0]["b64_json"])


def call_openai_stream(client: httpx.Client) -> bytes:
    """Ask OpenAI's Images API for a stream."""
    body = {"prompt": PROMPT, "stream": True, **INPUTS}
    content = client.post("/v1/images/generations", json=body).raise_for_status().content
    # A client reads the stream as it comes; here it is only the last event that counts.
    return base64.b64decode(json.loads(content.rpartition(b"\ndata: ")[2])["b64_json"])


def call_mcp(client: httpx.Client) -> bytes:
    """Call the tool of agents (MCP)."""
    params = {"name": "generate_image", "arguments": {"prompt": PROMPT, **INPUTS}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    answer = client.post("/mcp", json=message).raise_for_status().json()
    return base64.b64decode(answer["result"]["content"][0]["data"])


def call_automatic1111(client: httpx.Client) -> bytes:
    """Ask the API of AUTOMATIC1111 for the picture."""
    body = {"prompt": PROMPT, "sampler_name": "Euler a", "cfg_scale": 7.0, **INPUTS}
    answer = client.post("/sdapi/v1/txt2img", json=body).raise_for_status().json()
    return base64.b64decode(answer["images"][0])


# Each makes the same job and returns its picture.
SURFACES: dict[str, Callable[[httpx.Client], bytes]] = {
    "OpenAI": call_openai,
    "OpenAI, streaming": call_openai_stream,
    "MCP": call_mcp,
    "AUTOMATIC1111": call_automatic1111,
}


def measure(size: Size) -> Iterator[Row]:
    """Alternate the APIs job by job; the overhead is the median of the differences from the native API."""
    calls = {"native": call_native, **SURFACES}
    times_ms: dict[str, list[float]] = {name: [] for name in calls}
    with run_stack("web") as stack, _finish_jobs(stack), stack.client(KEY) as client:
        for call in calls.values():
            call(client)
        for _ in range(size.jobs):
            for name, call in calls.items():
                times_ms[name].append(_time_ms(call, client))
    native_ms = times_ms["native"]
    for name in SURFACES:
        differences_ms = [ours - native for ours, native in zip(times_ms[name], native_ms, strict=True)]
        yield Row(f"{name}: request to picture, p50", percentile(times_ms[name], 50), "ms", percentile(native_ms, 50))
        yield Row(f"{name}: over the native API", percentile(differences_ms, 50), "ms", max_value=MAX_OVERHEAD_MS)


def _time_ms(call: Callable[[httpx.Client], bytes], client: httpx.Client) -> float:
    started_at = time.perf_counter()
    if call(client) != IMAGE.data:
        raise RuntimeError("an API has answered with another picture")
    return (time.perf_counter() - started_at) * 1000


@contextmanager
def _finish_jobs(stack: Stack) -> Iterator[None]:
    """Complete every job as soon as it is submitted, in a thread, while the block runs."""
    stopped = threading.Event()

    def run() -> None:
        queue = stack.stores.queue
        while not stopped.is_set():
            # The wakeups are messages to workers, and there are no workers.
            queue.client.blpop([queue.wakeups_key], timeout=WAIT_S)
            while job := stack.stores.attempts.claim("bench"):
                _complete(stack, job)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _complete(stack: Stack, job: Job) -> None:
    attempts = stack.stores.attempts
    attempts.mark_accepted(job)
    keys = attempts.store_images(job, [IMAGE], b"jpeg bytes")
    attempts.complete(job, [IMAGE], keys)
