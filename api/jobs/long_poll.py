"""Long polling: status requests that wait until the job changes."""

import time

from flask import request

from api.http.auth import current_credential
from api.http.context import require_owner, stores
from schemas.errors import Invalid, Unauthorized
from stores.jobs.jobs import JobWithEstimate

MAX_WAIT_S = 60.0
UNKNOWN_SEQ = -1.0
WAIT_PARAMETERS = [
    {
        "in": "query",
        "name": "wait",
        "schema": {"type": "number", "minimum": 0},
        "description": f"Seconds to wait for a change; more than {MAX_WAIT_S:g} counts as {MAX_WAIT_S:g}.",
    },
    {
        "in": "query",
        "name": "since",
        "schema": {"type": "number", "minimum": 0},
        "description": "The `seq` of the last status received; without it, the current one.",
    },
]
# Notifications can be lost, so a waiting request reads the job this often in any case.
RECHECK_INTERVAL_S = 5.0


def read_job(job_id: str, owner_id: str) -> JobWithEstimate:
    """Return the owner's job; with ``?wait=SECONDS&since=SEQ`` as soon as it is newer than ``since``.

    Raises:
        Invalid: ``wait`` or ``since`` is not a number.
        NotFound: there is no such job, or it belongs to another caller.
        Gone: it has expired.
        Unauthorized: the key was revoked during the wait.
    """
    if not request.query_string:
        return _read_own_job(job_id, owner_id)
    wait_s, since = min(_number_parameter("wait", 0.0), MAX_WAIT_S), _number_parameter("since", UNKNOWN_SEQ)
    if wait_s <= 0:
        return _read_own_job(job_id, owner_id)
    return _await_change(job_id, owner_id, wait_s, since)


def _read_own_job(job_id: str, owner_id: str) -> JobWithEstimate:
    job, estimate = stores().jobs.get_with_estimate(job_id)
    require_owner(job, owner_id)
    return job, estimate


def _await_change(job_id: str, owner_id: str, wait_s: float, since: float) -> JobWithEstimate:
    deadline = time.monotonic() + wait_s
    with stores().notifier.watch(job_id) as signal, stores().key_revocation.watch(current_credential(), signal):
        while not signal.revoked:
            job, estimate = _read_own_job(job_id, owner_id)
            if since == UNKNOWN_SEQ:
                since = job.seq
            left_s = deadline - time.monotonic()
            if job.seq > since or job.state.is_final or left_s <= 0 or signal.closing:
                return job, estimate
            signal.wait(min(left_s, RECHECK_INTERVAL_S))
    raise Unauthorized


def _number_parameter(name: str, default: float) -> float:
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
