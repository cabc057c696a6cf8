"""The calls of agents and the job that each has submitted, so that cancelling a call cancels its job.

A client that disconnects cancels nothing. One that cancels sends ``notifications/cancelled`` with the same session.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from flask import request

from api.http.context import caller, stores
from schemas.errors import Invalid
from schemas.jobs.agent_messages import SESSION_PATTERN
from schemas.jobs.job import Job

SESSION_HEADER = "Mcp-Session-Id"
_SESSION = re.compile(SESSION_PATTERN)


def session_of_request() -> str:
    """Return the id of the client's session, or "" without one; raises Invalid."""
    session = request.headers.get(SESSION_HEADER)
    if session is not None and not _SESSION.fullmatch(session):
        raise Invalid(problems=[f"{SESSION_HEADER}: must be 1 to 128 printable ASCII characters."])
    return session or ""


@contextmanager
def cancellable(request_id: str | int | None, job: Job) -> Iterator[None]:
    """Let the client cancel ``job`` by cancelling its call until the block ends; at once if it has done so already.

    Without a session the calls of clients with the same key cannot be told apart, so they cannot be cancelled.
    """
    session, owner, calls = session_of_request(), caller().id, stores().agent_calls
    if not session or request_id is None:
        yield
        return
    if calls.remember(owner, session, request_id, job.id):
        stores().jobs.cancel(job.id)
    try:
        yield
    finally:
        calls.forget(owner, session, request_id)


def cancel_call(request_id: str | int) -> None:
    """Cancel the job of a call of the client's session, if that has submitted one."""
    session, owner = session_of_request(), caller().id
    if session and (job_id := stores().agent_calls.cancel(owner, session, request_id)):
        stores().jobs.cancel(job_id)
