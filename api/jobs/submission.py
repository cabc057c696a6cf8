"""Submission of jobs from HTTP requests: idempotency key, request id and webhook check."""

from typing import Any

from flask import Response, g, request

from api.http.context import stores
from api.webhooks.target_check import require_allowed_url
from schemas.accounts.caller import ANONYMOUS, Caller
from schemas.jobs.job import JobRequest
from stores.jobs import submission
from stores.jobs.jobs import AcceptedJob


def submit(submitter: Caller, job_request: JobRequest) -> AcceptedJob:
    """Submit a job under the current request's ``Idempotency-Key``.

    Raises:
        Invalid: the webhook URL is not allowed.
        LimitReached: too many hosts of the submitter's webhooks are being looked up; further errors as
            ``stores.jobs.submission.submit``.
    """
    _check_webhook(submitter, job_request)
    # Anonymous callers have one id in common, so they would share their keys.
    key = None if submitter.id == ANONYMOUS else request.headers.get("Idempotency-Key")
    return submission.submit(stores(), submitter, job_request, request_id=g.request_id, idempotency_key=key)


def dry_run(submitter: Caller, job_request: JobRequest) -> dict[str, Any]:
    """Return what ``submit`` would do; see ``stores.jobs.submission.dry_run``."""
    _check_webhook(submitter, job_request)
    return submission.dry_run(stores(), submitter, job_request)


def add_replay_header(response: Response, accepted: AcceptedJob) -> Response:
    """Add ``Idempotent-Replayed`` to ``response`` if the job existed before this request."""
    if accepted.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _check_webhook(submitter: Caller, job_request: JobRequest) -> None:
    if job_request.webhook:
        require_allowed_url(submitter.id, job_request.webhook, stores().address_policy, "webhook")
