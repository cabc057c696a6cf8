"""Submission of jobs: validates a request against its site's recipe and creates the job.

All HTTP APIs and the canaries submit through this module, so that plans, accepted terms, limits and
idempotency hold for all of them.
"""

import re
import secrets
from dataclasses import replace
from typing import Any

import structlog

from schemas.accounts.caller import Caller
from schemas.errors import Invalid, PaymentRequired, Unavailable
from schemas.jobs.idempotency import Idempotency
from schemas.jobs.job import JobRequest
from schemas.sites.recipe import Recipe
from stores import Stores
from stores.jobs.jobs import AcceptedJob

LORA_CATEGORY = "LoRA"
MAX_CANDIDATES = 10
FOLDER_SEPARATOR = re.compile(r"[\\/]")

log = structlog.get_logger(__name__)


def submit(
    stores: Stores, caller: Caller, request: JobRequest, *, request_id: str, idempotency_key: str | None = None
) -> AcceptedJob:
    """Create a job, or return the one that the same request with the same idempotency key created before.

    ``request.inputs`` are not validated yet, and an empty ``request.site`` means the default site. The address of
    ``request.webhook`` is not checked here: DNS lookups are left to callers, and the dispatcher checks it on delivery.

    Raises:
        Invalid: unknown site, or an input, LoRA or idempotency key that is not accepted.
        LimitReached: the queue is full, or the caller has reached a limit.
        PaymentRequired: a plan is required and the caller has none.
        IdempotencyMismatch: the key was used for a different request.
        Gone: the job of the idempotency key has expired.
        Forbidden: the site's terms have not been accepted.
    """
    _require_plan(stores, caller)
    validated = _validate(stores, request)
    idempotency = None if idempotency_key is None else Idempotency.for_request(idempotency_key, request)
    accepted = stores.jobs.create(
        secrets.token_hex(16), caller.id, validated, request_id, idempotency, limits=caller.limits
    )
    if not accepted.replayed:
        try:
            # The record is written first. If this process dies here or the queue is down, the clock sends the wakeup.
            stores.wakeups.publish()
        except Unavailable as error:
            log.warning("submission.wakeup_left_to_clock", job_id=accepted.job.id, error=error.message)
    return accepted


def dry_run(stores: Stores, caller: Caller, request: JobRequest) -> dict[str, Any]:
    """Return what ``submit`` would do: ``cost`` in images, queue ``position``, ``blocked_by`` (or None) and ``site``.

    Raises:
        Invalid, Forbidden: as ``submit``.
    """
    validated = _validate(stores, request)
    limit, position = stores.jobs.dry_run(caller.id, validated.site, validated.priority, caller.limits)
    blocked_by = limit and {
        "policy": limit.details["policy"],
        "limit": limit.message,
        "retry_after": limit.retry_after_s,
    }
    try:
        _require_plan(stores, caller)
    except PaymentRequired as error:
        blocked_by = {"policy": error.code, "limit": error.message, "retry_after": None}
    return {"cost": 1, "position": position, "blocked_by": blocked_by, "site": validated.site}


def _require_plan(stores: Stores, caller: Caller) -> None:
    if stores.settings.require_subscription and caller.plan is None:
        raise PaymentRequired("This key has no plan that includes generations.", upgradeUrl=stores.settings.upgrade_url)


def _validate(stores: Stores, request: JobRequest) -> JobRequest:
    """Return the request with the names and types that the site's recipe declares."""
    recipe = stores.recipes.get(request.site or None)
    stores.accepted_terms.require(recipe)
    recipe.require_lora_support(request.lora)
    inputs = recipe.validate_inputs(request.inputs)
    return replace(request, site=recipe.name, lora=_resolve_lora(stores, recipe, request.lora or None), inputs=inputs)


def _resolve_lora(stores: Stores, recipe: Recipe, lora: str | None) -> str | None:
    """Return the file name of a LoRA of the model library, if the site's prompt syntax needs one.

    Names that the library does not know are passed on: the site may know them.

    Raises:
        Invalid: several LoRAs have this name.
    """
    if not (lora and recipe.loras and recipe.loras.syntax and stores.settings.models_dir):
        return lora
    try:
        models = stores.library.models.find_by_name(lora, LORA_CATEGORY)
    except Unavailable:
        return lora
    stems = [model.present_stems for model in models if model.present_stems]
    if any(lora in each for each in stems):
        return lora
    candidates = list(dict.fromkeys(each[0] for each in stems))
    # Of names with folders, the files in these folders come first.
    if len(candidates) > 1 and not FOLDER_SEPARATOR.search(lora):
        names = ", ".join(repr(stem) for stem in candidates[:MAX_CANDIDATES])
        raise Invalid(problems=[f"lora: several LoRAs are called {lora!r}; send the name of a file: {names}."])
    return next(iter(candidates), lora)
