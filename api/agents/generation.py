"""The tools that make pictures: submit a job and wait for it, read one, cancel one."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp_types import CallToolResult, ContentBlock, TextContent

from api.agents.calls import cancellable
from api.agents.exchange import send_heartbeat
from api.agents.pictures import picture_contents, result_uri
from api.http.auth import current_credential
from api.http.context import caller, own_job, stores
from api.http.rate_limits import count_submission
from api.jobs.completion import Update, UpdateKind, follow_jobs, follow_own_jobs
from api.jobs.serializers import native_job
from api.jobs.submission import submit
from schemas.errors import Unavailable, WaitTimedOut
from schemas.jobs.agent_requests import AGENTS, DEFAULT_WAIT_S
from schemas.jobs.event_payloads import result_image_url, result_payloads
from schemas.jobs.job import Job, QueueEstimate, load_job_request
from schemas.jobs.lifecycle import JobState
from schemas.sites.input_aliases import SentField, translate
from stores.jobs.jobs import AcceptedJob

PROGRESS_TOTAL = 100.0
# Each progress value must be greater than the one before, also when a second attempt begins at the start.
MIN_PROGRESS_STEP = 0.01
# Fields of the native API that say nothing, or the same again, to a model.
UNSHOWN_FIELDS = ("seq", "startTime", "lastModifiedDate", "finishedAt", "result", "results", "statusUrl", "expiresAt")
JOB_FIELDS = ("prompt", "site", "lora", "priority", "webhook")

Context = ServerRequestContext[Any, Any]


async def generate_image(context: Context, arguments: dict[str, Any]) -> CallToolResult:
    """Submit a job, report its progress, and return its pictures, or its id if it takes longer than the wait."""
    wait_s, key = arguments.pop("wait_seconds"), arguments.pop("idempotency_key", None)
    count_submission(caller())
    accepted = _submit(arguments, key)
    with cancellable(context.request_id, accepted.job):
        await _follow(context, accepted.job, follow_own_jobs([accepted.job], timeout_s=wait_s))
    return _describe_job(accepted.job.id)


async def get_job(context: Context, arguments: dict[str, Any]) -> CallToolResult:
    """Return a job of the caller with its pictures, after waiting for its end if the arguments say so."""
    job = own_job(arguments["job_id"])
    if arguments["wait_seconds"] and not job.state.is_final:
        # Who only looks at a job does not cancel it by looking away.
        updates = follow_jobs(stores(), current_credential(), [job], timeout_s=arguments["wait_seconds"])
        await _follow(context, job, updates)
    return _describe_job(job.id)


async def cancel_job(_: Context, arguments: dict[str, Any]) -> CallToolResult:
    """Cancel a job of the caller."""
    job = own_job(arguments["job_id"])
    outcome = {
        "cancelled": "The job is cancelled.",
        "requested": "The job is running and ends within a second.",
    }.get(stores().jobs.cancel(job.id), "The job had already ended; nothing changes.")
    return CallToolResult(content=[TextContent(type="text", text=outcome)])


def _submit(arguments: dict[str, Any], key: str | None) -> AcceptedJob:
    recipe = stores().recipes.get(arguments.get("site") or None)
    further = [SentField(name, value) for name, value in arguments.pop("inputs").items()]
    sent = [SentField(name, value) for name, value in arguments.items() if name not in JOB_FIELDS]
    inputs = translate(AGENTS, recipe, [*sent, *further]).inputs
    fields = {name: arguments[name] for name in JOB_FIELDS if name in arguments}
    return submit(caller(), load_job_request({**fields, "inputs": inputs}), key=key)


async def _follow(context: Context, job: Job, updates: Iterator[Update]) -> None:
    """Report the job's progress until ``updates`` end: with the job, the wait or this process."""
    shown = 0.0

    async def report(percentage: float, message: str) -> None:
        nonlocal shown
        shown = max(shown + MIN_PROGRESS_STEP, min(percentage, PROGRESS_TOTAL - 1))
        await context.session.report_progress(round(shown, 2), PROGRESS_TOTAL, message)

    if not job.state.is_final:
        await report(0.0, f"Job {job.id} waits for the site {job.request.site}.")
    try:
        for update in updates:
            if update.kind is UpdateKind.HEARTBEAT:
                await send_heartbeat()
            elif update.kind is UpdateKind.PROGRESS:
                percentage = update.percentage or 0.0
                await report(percentage, f"{percentage:.0f} %" if percentage else "The site is at work.")
            elif update.kind is UpdateKind.PREVIEW:
                await report(shown, f"Preview: {stores().settings.public_url}/{job.id}.jpg")
    except (WaitTimedOut, Unavailable):
        # The job goes on; if Redis is down, reading it says so.
        return


def _describe_job(job_id: str) -> CallToolResult:
    """Return the pictures of a job and what there is to say about it, without structured content.

    Some clients show a model nothing but the structured content of a result that has some.
    """
    job, estimate = stores().jobs.get_with_estimate(job_id)
    pictures, notes = picture_contents(job) if job.state is JobState.COMPLETED else ([], [])
    text = "\n".join([*_sentences(job), *notes, json.dumps(_view(job, estimate), ensure_ascii=False)])
    content: list[ContentBlock] = [*pictures, TextContent(type="text", text=text)]
    return CallToolResult(content=content, is_error=job.state is JobState.FAILED)


def _sentences(job: Job) -> list[str]:
    if job.error:
        hint = "Another try may succeed." if job.error.retryable else job.error.hint
        return [f"The job failed: {job.error.message} (code: {job.error.code}) {hint}"]
    if job.state is not JobState.COMPLETED:
        call = json.dumps({"job_id": job.id, "wait_seconds": DEFAULT_WAIT_S})
        return [f"The job is not done yet ({job.state}); it goes on. Call get_job with {call} for the picture."]
    count = "1 picture" if len(job.results) == 1 else f"{len(job.results)} pictures"
    until = datetime.fromtimestamp((job.expires_at or 0) / 1000, UTC).isoformat(timespec="seconds")
    return [f"Done: {count} by the site {job.request.site}, kept until {until}.", *_links(job)]


def _links(job: Job) -> list[str]:
    public_url = stores().settings.public_url
    first = result_image_url(public_url, job.id, job.results[0].type)
    urls = [first, *(f"{public_url}/{job.id}/{number}" for number in range(2, len(job.results) + 1))]
    return [f"Picture {number}: {url}" for number, url in enumerate(urls, 1)]


def _view(job: Job, estimate: QueueEstimate) -> dict[str, Any]:
    """Return the job for a program, or a model that reads JSON: its native view without fields of other views."""
    view = native_job(stores(), job, estimate)
    results = result_payloads(job.results, job.id, stores().settings.public_url)
    shown = {name: value for name, value in view.items() if name not in UNSHOWN_FIELDS and value is not None}
    pictures = [
        {"resource": result_uri(job.id, number), **{name: result[name] for name in ("type", "width", "height")}}
        for number, result in enumerate(results, 1)
    ]
    return shown | ({"pictures": pictures} if pictures else {})
