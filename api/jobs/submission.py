"""Submission of jobs from HTTP requests: idempotency key, request id and webhook check."""

from collections.abc import Sequence
from typing import Any

import structlog
from flask import Response, g, request

from api.http.context import stores
from api.http.rate_limits import count_submission
from api.webhooks.target_check import require_allowed_url
from schemas.accounts.caller import ANONYMOUS, Caller
from schemas.errors import Gone, IdempotencyMismatch, NotFound, PaymentRequired, ServiceError, Unavailable
from schemas.jobs.idempotency import MAX_KEY_LENGTH, part_key
from schemas.jobs.job import JobRequest
from stores.jobs import submission
from stores.jobs.jobs import AcceptedJob

# The responses of a route that submits jobs, besides the errors of every route.
SUBMISSION_ERRORS = (PaymentRequired, NotFound, Gone, IdempotencyMismatch)

IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "pattern": f"^[\\x21-\\x7e]{{1,{MAX_KEY_LENGTH}}}$"},
    "description": "A repeated request with the same key returns the job of the first one.",
    "example": "order-4711",
}
REPLAYED = ("Idempotent-Replayed", "true")

log = structlog.get_logger(__name__)


def submit(
    submitter: Caller, job_request: JobRequest, *, part: int = 1, key: str | None = None, room: int = 1
) -> AcceptedJob:
    """Submit a job under the idempotency key ``key``, by default that of the current request's header.

    ``part`` counts the jobs of one request: each has a key of its own, made from that of the request. A new job is
    accepted only if the limits have room for ``room`` jobs.

    Raises:
        Invalid: the webhook URL is not allowed.
        LimitReached: too many hosts of the submitter's webhooks are being looked up; further errors as
            ``stores.jobs.submission.submit``.
    """
    _check_webhook(submitter, job_request)
    key = part_key(key or idempotency_key(submitter), part)
    return submission.submit(stores(), submitter, job_request, request_id=g.request_id, idempotency_key=key, room=room)


def submit_all(submitter: Caller, job_requests: Sequence[JobRequest], *, first_part: int = 1) -> list[AcceptedJob]:
    """Submit the jobs of one request: all or, if one is refused, none of them. Raises as ``submit``.

    The first one is created only if the limits have room for all. ``first_part`` is its number, for jobs that take the
    place of others: only those that a client asks for count towards its rate.
    """
    if first_part == 1 and len(job_requests) > 1:
        # The request itself has been counted as the first one.
        count_submission(submitter, len(job_requests) - 1)
    accepted: list[AcceptedJob] = []
    try:
        for index, job_request in enumerate(job_requests):
            room = len(job_requests) - index
            accepted.append(submit(submitter, job_request, part=first_part + index, room=room))
    except ServiceError:
        _withdraw(submitter, accepted, first_part)
        raise
    return accepted


def _withdraw(submitter: Caller, accepted: Sequence[AcceptedJob], first_part: int) -> None:
    """Take back the jobs of a request that fails after all, as when another one has taken the room meanwhile."""
    for part, each in enumerate(accepted, first_part):
        if not each.replayed:
            try:
                stores().jobs.withdraw(each.job, part_key(idempotency_key(submitter), part))
            except Unavailable as error:
                log.warning("submission.not_withdrawn", job_id=each.job.id, error=error.message)


def idempotency_key(submitter: Caller) -> str | None:
    """Return the current request's ``Idempotency-Key``."""
    # Anonymous callers have one id in common, so they would share their keys.
    return None if submitter.id == ANONYMOUS else request.headers.get("Idempotency-Key")


def dry_run(submitter: Caller, job_request: JobRequest) -> dict[str, Any]:
    """Return what ``submit`` would do; see ``stores.jobs.submission.dry_run``."""
    _check_webhook(submitter, job_request)
    return submission.dry_run(stores(), submitter, job_request)


def accepted_headers(accepted: AcceptedJob) -> list[tuple[str, str]]:
    """Return the header fields of the native API's response to a submission."""
    location = ("Location", f"/api/v1/jobs/{accepted.job.id}")
    return [location, REPLAYED] if accepted.replayed else [location]


def add_replay_header(response: Response, accepted: AcceptedJob) -> Response:
    """Add ``Idempotent-Replayed`` to ``response`` if the job existed before this request."""
    if accepted.replayed:
        response.headers.add(*REPLAYED)
    return response


def _check_webhook(submitter: Caller, job_request: JobRequest) -> None:
    if job_request.webhook:
        require_allowed_url(submitter.id, job_request.webhook, stores().address_policy, "webhook")
