"""The job that clients of a bench watch, and the part of its worker: one event after another, when it is told to."""

import asyncio
import time

from ops.testbed.stack import Stack
from schemas.jobs.job import Job, Progress


def websocket_url(darkroom: Stack, job_id: str) -> str:
    """Where a job is listened to, with a pass of its own."""
    return f"{darkroom.settings.public_url}/ws?id={job_id}&jwt={darkroom.stores.watch_tokens.issue(job_id)}"


def submit(darkroom: Stack, prompt: str, priority: int) -> str:
    """The id of a new job; the highest priority is taken first."""
    with darkroom.client() as client:
        return str(client.post("/api/v1/jobs", json={"prompt": prompt, "priority": priority}).json()["id"])


def claim(darkroom: Stack, job_id: str) -> Job:
    """The job, in hand; its page has taken the prompt."""
    job = darkroom.stores.attempts.claim("bench")
    if job is None or job.id != job_id:
        raise RuntimeError("another job was claimed, or none")
    darkroom.stores.attempts.mark_accepted(job)
    return job


async def record_progress(darkroom: Stack, job: Job, percentage: float) -> float:
    """Let an event happen; when it began (``time.time``)."""
    began = time.time()
    await asyncio.to_thread(darkroom.stores.attempts.record_progress, job, Progress(percentage))
    return began


def cancel_all(darkroom: Stack) -> None:
    """Leave nothing open."""
    with darkroom.client() as client:
        client.post("/api/v1/jobs/cancel")
