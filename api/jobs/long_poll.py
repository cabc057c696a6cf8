"""The long-poll: an answer as soon as a job changes. Used by both status routes."""

import time

from flask import request

from api.http.auth import key_given
from api.http.context import require_owner, stores
from schemas.errors import Invalid, Unauthorized
from stores.jobs.jobs import Placed

LONGEST_WAIT_S = 60.0
UNKNOWN = -1.0
WAIT_PARAMETERS = [
    {
        "in": "query",
        "name": "wait",
        "schema": {"type": "number", "maximum": LONGEST_WAIT_S},
        "description": "Seconds to wait for a change.",
    },
    {
        "in": "query",
        "name": "since",
        "schema": {"type": "integer"},
        "description": "The `seq` that the caller has seen.",
    },
]
# Should a word of a change be lost on its way, the next look is not far.
LOOK_AGAIN_S = 5.0


def read_job(job_id: str, owner: str) -> Placed:
    """The owner's job and its outlook; with ``?wait=SECONDS&since=SEQ`` as soon as it has changed.

    Raises:
        Invalid: one of the two is not a number.
        NotFound: there is none, or it is another one's.
        Gone: it has expired.
        Unauthorized: the key was revoked meanwhile.
    """
    wait_s = min(_number("wait", 0.0), LONGEST_WAIT_S) if request.query_string else 0.0
    if wait_s <= 0:
        return _look(job_id, owner)
    return _await_change(job_id, owner, wait_s)


def _look(job_id: str, owner: str) -> Placed:
    job, outlook = stores().jobs.look(job_id)
    require_owner(job, owner)
    return job, outlook


def _await_change(job_id: str, owner: str, wait_s: float) -> Placed:
    deadline = time.monotonic() + wait_s
    since = _number("since", UNKNOWN)
    with stores().changes.watch(job_id) as watch, stores().vigil.keep(key_given(), watch):
        while not watch.revoked:
            job, outlook = _look(job_id, owner)
            if since == UNKNOWN:
                since = job.seq
            left_s = deadline - time.monotonic()
            if job.seq > since or job.state.final or left_s <= 0 or watch.closing:
                return job, outlook
            watch.wait(min(left_s, LOOK_AGAIN_S))
    raise Unauthorized


def _number(name: str, default: float) -> float:
    text = request.args.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError as error:
        raise Invalid(problems=[f"{name}: {text[:40]!r} is not a number."]) from error
    if not 0 <= number < float("inf"):
        raise Invalid(problems=[f"{name}: must be 0 or more."])
    return number
