"""The one way in: from a checked request to an accepted job."""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import structlog
from flask import Response, g, request

from api.library.loras import resolve_lora_filename
from api.webhooks.target_check import require_allowed_url
from schemas.accounts.caller import ANONYMOUS, Caller
from schemas.errors import PaymentRequired, Unavailable
from schemas.jobs.idempotency import Idempotency
from schemas.jobs.job import Job, Submission
from stores import Stores
from stores.jobs.jobs import AcceptedJob

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for, as its surface has read it; ``inputs`` are not checked yet."""

    prompt: str
    site: str | None
    lora: str | None
    inputs: Mapping[str, Any]
    priority: int = 0
    webhook: str | None = None


def submit(stores: Stores, caller: Caller, wanted: Wanted) -> AcceptedJob:
    """Accept a job, or find the one that the same request with the same Idempotency-Key has made before.

    The record comes first and the ticket second; should this process die in between, the clock sends a ticket.

    Raises:
        Invalid: there is no such site, it does not accept one of the inputs, the webhook may not be called, or the key
            is no key.
        LimitReached: the queue is full, or the caller has had enough.
        PaymentRequired: the caller needs a plan and has none.
        IdempotencyMismatch: the key came with another request before.
        Gone: the key's job has expired.
        Forbidden: nobody has accepted the terms of a site that is not the user's own.
    """
    _require_plan(stores, caller)
    submission = _validate(stores, wanted)
    # Those without a key would share one another's.
    key = request.headers.get("Idempotency-Key") if caller.id != ANONYMOUS else None
    idempotency = None if key is None else Idempotency.for_request(key, asdict(wanted))
    ident = secrets.token_hex(16)
    accepted = stores.jobs.create(ident, caller.id, submission, g.request_id, idempotency, limits=caller.limits)
    if not accepted.replayed:
        _offer_wakeup(stores, accepted.job)
    return accepted


def dry_run(stores: Stores, caller: Caller, wanted: Wanted) -> dict[str, Any]:
    """What would become of a job, without making it: its ``cost`` in pictures, its ``position``, what would block it.

    Raises:
        Invalid, Forbidden: as ``submit`` does.
    """
    submission = _validate(stores, wanted)
    limit, position = stores.jobs.dry_run(caller.id, submission.site, submission.priority, caller.limits)
    blocked_by = limit and {
        "policy": limit.details["policy"],
        "limit": limit.message,
        "retry_after": limit.retry_after_s,
    }
    try:
        _require_plan(stores, caller)
    except PaymentRequired as error:
        blocked_by = {"policy": error.code, "limit": error.message, "retry_after": None}
    return {"cost": 1, "position": position, "blocked_by": blocked_by, "site": submission.site}


def _validate(stores: Stores, wanted: Wanted) -> Submission:
    recipe = stores.recipes.get(wanted.site)
    stores.accepted_terms.require(recipe)
    recipe.require_lora_support(wanted.lora)
    inputs = recipe.validate_inputs(wanted.inputs)
    if wanted.webhook:
        require_allowed_url(wanted.webhook, stores.address_policy, "webhook")
    lora = resolve_lora_filename(stores, recipe, wanted.lora or None)
    return Submission(recipe.name, wanted.prompt, lora, inputs, wanted.priority, wanted.webhook or "")


def _require_plan(stores: Stores, caller: Caller) -> None:
    if stores.settings.require_subscription and caller.plan is None:
        words = "This key has no plan that includes generations."
        raise PaymentRequired(words, upgradeUrl=stores.settings.upgrade_url)


def _offer_wakeup(stores: Stores, job: Job) -> None:
    try:
        stores.wakeups.publish()
    except Unavailable as error:
        log.warning("submission.ticket_left_to_clock", job_id=job.id, error=error.message)


def add_replay_header(response: Response, accepted: AcceptedJob) -> Response:
    """``response``, with the header that says so if no new job was made for it."""
    if accepted.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response
