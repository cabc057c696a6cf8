"""The span of an attempt at a job, in the trace of the request that submitted the job."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ops.processes.tracing import Span, is_tracing, record_span, span
from schemas.jobs.job import Job
from stores import Stores


@asynccontextmanager
async def open_attempt_span(stores: Stores, job: Job, asked_at_ms: int) -> AsyncIterator[Span]:
    """Create the span of an attempt, and record the wait in the queue and the claim as spans."""
    parent = await asyncio.to_thread(stores.jobs.find_traceparent, job.id) if is_tracing() else None
    attributes = {
        "darkroom.job.id": job.id,
        "darkroom.job.attempt": job.attempt,
        "darkroom.site": job.request.site,
        "darkroom.request.id": job.request_id,
    }
    with span("job.attempt", attributes, kind="consumer", parent=parent) as made:
        if is_tracing():
            now_ms = stores.clock.now_ms()
            record_span("job.queue", parent=parent, start_ms=job.queued_at, end_ms=job.started_at or now_ms)
            record_span("job.claim", parent=parent, start_ms=asked_at_ms, end_ms=now_ms)
        yield made
