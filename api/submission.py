"""Owns the one way in: from a checked request to an accepted job, and its cancellation.

Called by every surface that takes jobs.
"""

import secrets
from collections.abc import Mapping
from typing import Any

import structlog
from flask import g

from schemas.errors import Unavailable
from schemas.jobs import Job, Submission
from schemas.keys import Caller
from stores import Stores

log = structlog.get_logger(__name__)


def submit(
    stores: Stores, caller: Caller, *, prompt: str, site: str | None, lora: str | None, inputs: Mapping[str, Any]
) -> tuple[Job, int]:
    """Accept a job: the job as it is now, and its position in the queue.

    The record comes first and the message second; should this process die in between, the clock sends the message.

    Raises:
        Invalid: there is no such site, or it does not accept one of the inputs.
        LimitReached: the queue is full.
    """
    recipe = stores.recipes.get(site)
    submission = Submission(recipe.name, prompt, lora or None, recipe.check_inputs(inputs))
    job, position = stores.jobs.create(secrets.token_hex(16), caller.id, submission, g.request_id)
    try:
        stores.queue.generate(job.id)
    except Unavailable as error:
        log.warning("submission.message_left_to_clock", job_id=job.id, error=error.message)
    return job, position


def cancel(stores: Stores, job: Job) -> Job:
    """Ask for a job's end and return it as it is then: ended if it waited, on its way to it if it ran."""
    if stores.jobs.cancel(job.id) == "ended":
        return job
    return stores.jobs.get(job.id)
