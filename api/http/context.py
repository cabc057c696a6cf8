"""Request helpers: the stores, the current caller, and the caller's own jobs."""

from typing import cast

from flask import current_app, g, request

from schemas.accounts.caller import Caller
from schemas.errors import NotFound
from schemas.jobs.job import Job
from stores import Stores
from stores.jobs.jobs import NO_SUCH_JOB


def stores() -> Stores:
    """Return the stores of the current application: those of the caller's Redis server.

    Without a caller they are those of the first server that answers.
    """
    every = cast(Stores, current_app.extensions["stores"])
    if len(every.servers) == 1:
        return every
    known: Caller | None = g.get("caller")
    return every.servers.of(known.id) if known else every.servers.first_that_answers()


def caller() -> Caller:
    """Return the authenticated caller; only in routes that need a key or session."""
    return cast(Caller, g.caller)


def optional_caller() -> Caller | None:
    """Return the authenticated caller; None in a route that needs no key and got none."""
    return cast(Caller | None, g.get("caller"))


def prefers_html() -> bool:
    """Whether a browser sent the request; programs that accept anything get JSON."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def own_job(job_id: str) -> Job:
    """Return a job of the current caller.

    Raises:
        NotFound: there is no such job, or it belongs to another caller.
        Gone: it has expired.
    """
    job = stores().jobs.get(job_id)
    require_owner(job, caller().id)
    return job


def require_owner(job: Job, owner_id: str) -> None:
    """Raise NotFound, as for a missing job, if the job belongs to another caller."""
    if job.owner != owner_id:
        raise NotFound(NO_SUCH_JOB)
