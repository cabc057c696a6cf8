"""Submission of jobs: validates a request against its site's recipe and creates the job.

All HTTP APIs and the canaries submit through this module, so that plans, accepted terms, limits and
idempotency hold for all of them.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog

from schemas.accounts.caller import Caller
from schemas.errors import (
    Gone,
    IdempotencyMismatch,
    InputMissing,
    Invalid,
    LimitReached,
    PaymentRequired,
    Unavailable,
)
from schemas.images.input_images import ImageSource
from schemas.jobs.idempotency import Idempotency
from schemas.jobs.job import Job, JobRequest
from schemas.sites.recipe import Recipe
from stores import Stores
from stores.jobs.jobs import AcceptedJob

LORA_CATEGORY = "LoRA"
MAX_CANDIDATES = 10
FOLDER_SEPARATOR = re.compile(r"[\\/]")

log = structlog.get_logger(__name__)


def submit(
    stores: Stores,
    caller: Caller,
    request: JobRequest,
    *,
    request_id: str,
    idempotency_key: str | None = None,
    room: int = 1,
) -> AcceptedJob:
    """Create a job, or return the one that the same request with the same idempotency key created before.

    ``request.inputs`` are not validated yet, and an empty ``request.site`` means the default site. The address of
    ``request.webhook`` is not checked here: DNS lookups are left to callers, and the dispatcher checks it on delivery.
    A new job is accepted only if the limits have room for ``room`` jobs.

    Raises:
        Invalid: unknown site, or an input, picture, LoRA or idempotency key that is not accepted.
        LimitReached: the queue is full, or the caller has reached a limit.
        PaymentRequired: a plan is required and the caller has none.
        IdempotencyMismatch: the key was used for a different request.
        Gone: the job of the idempotency key has expired.
        Forbidden: the site's terms have not been accepted.
    """
    _require_plan(stores, caller)
    validated = _validate(stores, request)
    idempotency = None if idempotency_key is None else Idempotency.for_request(idempotency_key, request)
    job_id = stores.jobs.create_id()
    if _has_images(validated):
        # The pictures may have expired since the first request with this key, so they are not examined again.
        if idempotency and (earlier := stores.jobs.find_earlier(caller.id, idempotency)):
            return earlier
        validated = _attach_images(stores, caller, job_id, validated, room)
    try:
        accepted = stores.jobs.create(
            job_id,
            caller.id,
            validated,
            request_id,
            idempotency,
            limits=caller.limits,
            room=room,
            ticket=stores.wakeups.ticket(),
        )
    except (LimitReached, IdempotencyMismatch, Gone):
        # After other errors the job may exist all the same.
        stores.input_images.discard(job_id, validated.inputs)
        raise
    if accepted.replayed:
        stores.input_images.discard(job_id, validated.inputs)
    if not (accepted.replayed or accepted.has_wakeup):
        try:
            # The record is written first. If this process dies here or the queue is down, the clock sends the wakeup.
            stores.wakeups.publish()
        except Unavailable as error:
            log.warning("submission.wakeup_left_to_clock", job_id=accepted.job.id, error=str(error))
    return accepted


def resubmit(
    stores: Stores,
    caller: Caller,
    job: Job,
    *,
    request_id: str,
    changes: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> AcceptedJob:
    """Create a job with the same request as an earlier one, pictures and seed included, but for ``changes`` of inputs.

    Or return the one that the same call with the same idempotency key created before.

    Raises:
        Gone: a picture of the earlier job is no longer kept.
        Invalid, LimitReached, PaymentRequired, Forbidden: as ``submit``.
    """
    recipe = stores.recipes.get(job.request.site)
    try:
        files = stores.input_images.load(job, recipe)
    except InputMissing as error:
        raise Gone(error.message) from error
    images = {name: ImageSource.from_bytes(file.data) for name, file in files.items()}
    request = replace(job.request, inputs={**job.request.inputs, **images, **(changes or {})})
    return submit(stores, caller, request, request_id=request_id, idempotency_key=idempotency_key)


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
    recipe.require_inputs(inputs)
    lora = _resolve_lora(stores, recipe, request.lora or None)
    return JobRequest(recipe.name, request.prompt, lora, inputs, request.priority, request.webhook)


def _has_images(request: JobRequest) -> bool:
    return any(isinstance(value, ImageSource) for value in request.inputs.values())


def _attach_images(stores: Stores, caller: Caller, job_id: str, request: JobRequest, room: int) -> JobRequest:
    """Store the job's pictures, unless a limit forbids the job anyway: examining them takes a while."""
    limit, _ = stores.jobs.dry_run(caller.id, request.site, request.priority, caller.limits, room=room)
    if limit:
        raise limit
    recipe = stores.recipes.get(request.site)
    return replace(request, inputs=stores.input_images.attach(job_id, caller.id, recipe, request.inputs))


def _resolve_lora(stores: Stores, recipe: Recipe, lora: str | None) -> str | None:
    """Return the file name of a LoRA of the model library, if the site's prompt syntax needs one.

    Names that the library does not know are passed on: the site may know them.

    Raises:
        Invalid: several LoRAs have this name.
    """
    if not (lora and recipe.loras and recipe.loras.syntax and stores.has_library):
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
