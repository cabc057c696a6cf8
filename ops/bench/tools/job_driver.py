"""A job whose events a benchmark triggers itself, in place of a worker."""

import asyncio
import time

from ops.testbed.stack import Stack
from schemas.jobs.job import Job, Progress


def websocket_url(stack: Stack, job_id: str) -> str:
    """Return the URL of a job's WebSocket, with a watch token."""
    return f"{stack.settings.public_url}/ws?id={job_id}&jwt={stack.stores.watch_tokens.issue(job_id)}"


def submit(stack: Stack, prompt: str, priority: int) -> str:
    """Submit a job and return its id; the highest priority is claimed first."""
    with stack.client() as client:
        return str(client.post("/api/v1/jobs", json={"prompt": prompt, "priority": priority}).json()["id"])


def claim(stack: Stack, job_id: str) -> Job:
    """Claim the job and mark it as accepted by the page; raises RuntimeError if another job is next."""
    job = stack.stores.attempts.claim("bench")
    if job is None or job.id != job_id:
        raise RuntimeError("another job was claimed, or none")
    stack.stores.attempts.mark_accepted(job)
    return job


async def record_progress(stack: Stack, job: Job, percentage: float) -> float:
    """Cause an event; return the time (``time.perf_counter``) before it."""
    started_at = time.perf_counter()
    await asyncio.to_thread(stack.stores.attempts.record_progress, job, Progress(percentage))
    return started_at


def cancel_all(stack: Stack) -> None:
    """Cancel every job."""
    with stack.client() as client:
        client.post("/api/v1/jobs/cancel")
