"""The span of an attempt to deliver a webhook, in the trace of the request that submitted the job."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from ops.processes.tracing import Span, current_traceparent, is_tracing, span
from schemas.webhooks.subscriptions import Delivery
from stores import Stores


@asynccontextmanager
async def open_delivery_span(stores: Stores, delivery: Delivery) -> AsyncIterator[Span]:
    """Create the span of an attempt; it begins a new trace once the job has expired."""
    parent = (
        await asyncio.to_thread(stores.jobs.find_traceparent, delivery.job_id)
        if is_tracing() and delivery.job_id
        else None
    )
    attributes = {
        "darkroom.job.id": delivery.job_id,
        "darkroom.delivery.id": delivery.id,
        "darkroom.delivery.attempt": delivery.tries + 1,
        "darkroom.event": delivery.type,
    }
    with span("webhook.deliver", attributes, kind="client", parent=parent) as made:
        yield made


def trace_headers() -> Mapping[str, str]:
    """Return the header by which the receiver continues the trace; nothing without one."""
    traceparent = current_traceparent()
    return {"traceparent": traceparent} if traceparent else {}
