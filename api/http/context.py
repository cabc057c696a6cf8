"""What every view needs at hand: the stores of this application, who asks, and what is theirs."""

from typing import cast

from flask import current_app, g

from schemas.accounts.caller import Caller
from schemas.errors import NotFound
from schemas.jobs.job import Job
from stores import Stores


def stores() -> Stores:
    """The stores that ``create_app`` was given."""
    return cast(Stores, current_app.extensions["stores"])


def own_job(job_id: str) -> Job:
    """A job of whoever asks; only for views behind ``api.http.auth.require_key``.

    Raises:
        NotFound: there is none, or it is another one's.
        Gone: it has expired.
    """
    job = stores().jobs.get(job_id)
    require_owner(job, caller().id)
    return job


def require_owner(job: Job, owner_id: str) -> None:
    """Let nobody know of another one's job.

    Raises:
        NotFound: it is another one's.
    """
    if job.owner != owner_id:
        raise NotFound("There is no job of that id.")


def caller() -> Caller:
    """Who asks; only for views behind ``api.http.auth.require_key``."""
    return cast(Caller, g.caller)
